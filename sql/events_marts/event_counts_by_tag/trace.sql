-- from: events_staging.events
SELECT
    events.tableoid,
    events.ctid,
    events AS source_row
FROM events_staging.events
WHERE
    events.month = %(month)s
    AND EXISTS (
        SELECT 1
        FROM unnest(coalesce(nullif(events.tags, '{}'), ARRAY[''])) AS tags (tag)
        WHERE coalesce(nullif(tags.tag, ''), 'unknown') = %(tag)s
    );
