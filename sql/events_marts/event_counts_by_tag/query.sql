-- grain: one tag in the events of one file month; the counts of several months can be added
-- key: month, tag
-- parameters: month (date, first day of the file month)
-- sources: events_staging.events
-- write disposition: replace partition (month)
-- rules: a tag that an event lists twice counts twice (rejected: once per event);
--   events without tags and empty tags count under unknown (rejected: leaving them out)
WITH tagged AS (
    SELECT
        events.month,
        -- An unnest in the list of columns takes half the time of one in FROM.
        unnest(CASE WHEN cardinality(events.tags) > 0 THEN events.tags ELSE ARRAY[''] END) AS tag
    FROM events_staging.events
    WHERE events.month = %(month)s
),

delivered AS (
    -- One row per delivered value, so the query normalises a value once and not once per event.
    SELECT
        tagged.month,
        tagged.tag,
        count(*) AS event_count
    FROM tagged
    GROUP BY tagged.month, tagged.tag
)

SELECT
    delivered.month,
    coalesce(nullif(delivered.tag, ''), 'unknown') AS tag,
    sum(delivered.event_count)::bigint AS event_count
FROM delivered
GROUP BY delivered.month, coalesce(nullif(delivered.tag, ''), 'unknown')
