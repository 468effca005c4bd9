-- grain: one email in the events of one file month
-- key: month, email
-- sources: none
-- write disposition: replace partition (month)
-- rebuild: from query
CREATE TABLE IF NOT EXISTS events_marts.event_counts_by_user (
    month date NOT NULL,
    email text NOT NULL,
    event_count bigint NOT NULL,
    CONSTRAINT event_counts_by_user_month_email_pk PRIMARY KEY (month, email),
    CONSTRAINT event_counts_by_user_event_count_ck CHECK (event_count > 0)
);

COMMENT ON TABLE events_marts.event_counts_by_user IS 'Number of events by month of the file and user';
COMMENT ON COLUMN events_marts.event_counts_by_user.month IS 'First day of the month of the file';
COMMENT ON COLUMN events_marts.event_counts_by_user.email
IS 'E-mail address without surrounding blanks, in lower case; unknown if it is missing';
COMMENT ON COLUMN events_marts.event_counts_by_user.event_count IS 'Number of events';
