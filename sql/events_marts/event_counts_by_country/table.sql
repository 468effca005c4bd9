-- grain: one country in the events of one file month
-- key: month, country
-- sources: none
-- write disposition: replace partition (month)
-- rebuild: from query
CREATE TABLE IF NOT EXISTS events_marts.event_counts_by_country (
    month date NOT NULL,
    country text NOT NULL,
    event_count bigint NOT NULL,
    CONSTRAINT event_counts_by_country_month_country_pk PRIMARY KEY (month, country),
    CONSTRAINT event_counts_by_country_event_count_ck CHECK (event_count > 0)
);

COMMENT ON TABLE events_marts.event_counts_by_country IS 'Number of events by month of the file and country';
COMMENT ON COLUMN events_marts.event_counts_by_country.month IS 'First day of the month of the file';
COMMENT ON COLUMN events_marts.event_counts_by_country.country IS 'Country as delivered; unknown if it is missing';
COMMENT ON COLUMN events_marts.event_counts_by_country.event_count IS 'Number of events';
