-- grain: one event_date in the events of one file month
-- key: month, event_date
-- sources: none
-- write disposition: replace partition (month)
-- rebuild: from query
CREATE TABLE IF NOT EXISTS events_marts.event_counts_by_date (
    month date NOT NULL,
    event_date date NOT NULL,
    event_count bigint NOT NULL,
    CONSTRAINT event_counts_by_date_month_event_date_pk PRIMARY KEY (month, event_date),
    CONSTRAINT event_counts_by_date_event_count_ck CHECK (event_count > 0)
);

COMMENT ON TABLE events_marts.event_counts_by_date IS 'Number of events by month of the file and date';
COMMENT ON COLUMN events_marts.event_counts_by_date.month IS 'First day of the month of the file';
COMMENT ON COLUMN events_marts.event_counts_by_date.event_date IS 'Date of the event as the source states it';
COMMENT ON COLUMN events_marts.event_counts_by_date.event_count IS 'Number of events';
