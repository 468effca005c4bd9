-- grain: one country in the events of one file month; a range of months is a sum
-- key: month, country
-- parameters: month (date, first day of the file month)
-- sources: events_staging.events
-- write disposition: replace partition (month)
-- rules: a missing or empty country counts under unknown, it is never dropped (rejected: leaving it out)
SELECT
    events.month,
    coalesce(nullif(events.country, ''), 'unknown') AS country,
    count(*) AS event_count
FROM events_staging.events
WHERE events.month = %(month)s
GROUP BY events.month, coalesce(nullif(events.country, ''), 'unknown')
