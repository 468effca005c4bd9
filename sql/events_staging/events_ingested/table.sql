-- grain: one event, as in events_staging.events, with when and from which object it was ingested
-- key: none
-- sources: events_staging.events, ledger.loads
-- write disposition: none; a view
CREATE OR REPLACE VIEW events_staging.events_ingested AS
SELECT
    events.month,
    events.load_id,
    events.id,
    events.occurred_at,
    events.event_date,
    events.email,
    events.company,
    events.country,
    events.ip,
    events.uri,
    events.action,
    events.tags,
    loads.loaded_at,
    loads.source_uri,
    loads.source_version,
    loads.flow_run_id
FROM events_staging.events
INNER JOIN ledger.loads ON events.load_id = loads.load_id;
