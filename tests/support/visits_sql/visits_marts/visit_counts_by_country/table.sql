-- grain: one country in the visits of one file month
-- key: month, country
-- sources: none
-- write disposition: replace partition (month)
-- rebuild: from query
CREATE TABLE IF NOT EXISTS visits_marts.visit_counts_by_country (
    month date NOT NULL,
    country text NOT NULL,
    visit_count bigint NOT NULL,
    CONSTRAINT visit_counts_by_country_month_country_pk PRIMARY KEY (month, country),
    CONSTRAINT visit_counts_by_country_visit_count_ck CHECK (visit_count > 0)
);

COMMENT ON TABLE visits_marts.visit_counts_by_country IS 'Number of visits by month of the file and country';
COMMENT ON COLUMN visits_marts.visit_counts_by_country.month IS 'First day of the month of the file';
COMMENT ON COLUMN visits_marts.visit_counts_by_country.country IS 'Country as delivered; unknown if it is missing';
COMMENT ON COLUMN visits_marts.visit_counts_by_country.visit_count IS 'Number of visits';
