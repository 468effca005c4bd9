-- grain: one country in the events of one file month; the counts of several months can be added
-- key: month, country
-- parameters: month (date, first day of the file month)
-- sources: events_staging.events
-- write disposition: replace partition (month)
-- rules: events with a missing or empty country count under unknown (rejected: leaving them out)
WITH delivered AS (
    -- One row per delivered value, so the query normalises a value once and not once per event.
    SELECT
        events.month,
        events.country,
        count(*) AS event_count
    FROM events_staging.events
    WHERE events.month = %(month)s
    GROUP BY events.month, events.country
)

SELECT
    delivered.month,
    coalesce(nullif(delivered.country, ''), 'unknown') AS country,
    sum(delivered.event_count)::bigint AS event_count
FROM delivered
GROUP BY delivered.month, coalesce(nullif(delivered.country, ''), 'unknown')
