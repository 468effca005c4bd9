-- grain: one event_date in the events of one file month; the counts of several months can be added
-- key: month, event_date
-- parameters: month (date, first day of the file month)
-- sources: events_staging.events
-- write disposition: replace partition (month)
-- rules: an event counts for its own date, which may lie outside the file's month (rejected: the file's month; the date
--   in UTC)
SELECT
    events.month,
    events.event_date,
    count(*) AS event_count
FROM events_staging.events
WHERE events.month = %(month)s
GROUP BY events.month, events.event_date
