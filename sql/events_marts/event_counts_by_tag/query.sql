-- grain: one tag in the events of one file month; the counts of several months can be added
-- key: month, tag
-- parameters: month (date, first day of the file month)
-- sources: events_staging.events
-- write disposition: replace partition (month)
-- rules: a tag that an event lists twice counts twice (rejected: once per event);
--   events without tags and empty tags count under unknown (rejected: leaving them out)
SELECT
    events.month,
    coalesce(nullif(tags.tag, ''), 'unknown') AS tag,
    count(*) AS event_count
FROM events_staging.events
LEFT JOIN LATERAL unnest(events.tags) AS tags (tag) ON true
WHERE events.month = %(month)s
GROUP BY events.month, coalesce(nullif(tags.tag, ''), 'unknown')
