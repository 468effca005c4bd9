-- grain: one tag in the events of one file month
-- key: month, tag
-- sources: none
-- write disposition: replace partition (month)
-- rebuild: from query
CREATE TABLE IF NOT EXISTS events_marts.event_counts_by_tag (
    month date NOT NULL,
    tag text NOT NULL,
    event_count bigint NOT NULL,
    CONSTRAINT event_counts_by_tag_month_tag_pk PRIMARY KEY (month, tag),
    CONSTRAINT event_counts_by_tag_event_count_ck CHECK (event_count > 0)
);

COMMENT ON TABLE events_marts.event_counts_by_tag IS 'Number of events by month of the file and tag';
COMMENT ON COLUMN events_marts.event_counts_by_tag.month IS 'First day of the month of the file';
COMMENT ON COLUMN events_marts.event_counts_by_tag.tag IS 'Tag; unknown for events without tags';
COMMENT ON COLUMN events_marts.event_counts_by_tag.event_count IS 'Number of times that events have the tag';
