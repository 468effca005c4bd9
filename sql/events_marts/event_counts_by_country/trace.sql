-- from: events_staging.events
SELECT
    events.tableoid,
    events.ctid,
    events AS source_row
FROM events_staging.events
WHERE events.month = %(month)s AND coalesce(nullif(events.country, ''), 'unknown') = %(country)s;
