-- grain: one company in the events of one file month
-- key: month, company
-- sources: none
-- write disposition: replace partition (month)
-- rebuild: from query
CREATE TABLE IF NOT EXISTS events_marts.event_counts_by_company (
    month date NOT NULL,
    company text NOT NULL,
    event_count bigint NOT NULL,
    CONSTRAINT event_counts_by_company_month_company_pk PRIMARY KEY (month, company),
    CONSTRAINT event_counts_by_company_event_count_ck CHECK (event_count > 0)
);

COMMENT ON TABLE events_marts.event_counts_by_company IS 'Number of events by month of the file and company';
COMMENT ON COLUMN events_marts.event_counts_by_company.month IS 'First day of the month of the file';
COMMENT ON COLUMN events_marts.event_counts_by_company.company
IS 'Company of the user''s e-mail domain; unknown if it has none';
COMMENT ON COLUMN events_marts.event_counts_by_company.event_count IS 'Number of events';
