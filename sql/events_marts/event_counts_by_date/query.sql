-- grain: one event_date in the events of one file month; a range of months is a sum
-- key: month, event_date
-- parameters: month (date, first day of the file month)
-- sources: events_staging.events
-- write disposition: replace partition (month)
-- rules: the event's own date counts, which may lie outside of the file's month (rejected: the file's month; the date
--   in UTC)
SELECT
    events.month,
    events.event_date,
    count(*) AS event_count
FROM events_staging.events
WHERE events.month = %(month)s
GROUP BY events.month, events.event_date
