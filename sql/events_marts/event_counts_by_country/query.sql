-- grain: one country in the events of one file month; the counts of several months can be added
-- key: month, country
-- parameters: month (date, first day of the file month)
-- sources: events_staging.events
-- write disposition: replace partition (month)
-- rules: events with a missing or empty country count under unknown (rejected: leaving them out)
SELECT
    events.month,
    coalesce(nullif(events.country, ''), 'unknown') AS country,
    count(*) AS event_count
FROM events_staging.events
WHERE events.month = %(month)s
GROUP BY events.month, coalesce(nullif(events.country, ''), 'unknown')
