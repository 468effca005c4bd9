-- grain: one event, as in events_staging.events, with the time and the object that it was loaded from
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

COMMENT ON VIEW events_staging.events_ingested IS 'Each event with the time and the object that it was loaded from';
COMMENT ON COLUMN events_staging.events_ingested.month IS 'First day of the month of the file';
COMMENT ON COLUMN events_staging.events_ingested.load_id IS 'Load that brought the event; see ledger.loads';
COMMENT ON COLUMN events_staging.events_ingested.id IS 'Identifier of the event as delivered; it may repeat';
COMMENT ON COLUMN events_staging.events_ingested.occurred_at IS 'Instant of the event';
COMMENT ON COLUMN events_staging.events_ingested.event_date IS 'Date of the event as the source states it';
COMMENT ON COLUMN events_staging.events_ingested.email IS 'E-mail address of the user as delivered';
COMMENT ON COLUMN events_staging.events_ingested.company IS 'Company of the user''s e-mail domain';
COMMENT ON COLUMN events_staging.events_ingested.country IS 'Country of the user as delivered';
COMMENT ON COLUMN events_staging.events_ingested.ip IS 'Address that the event came from';
COMMENT ON COLUMN events_staging.events_ingested.uri IS 'Page or resource of the event';
COMMENT ON COLUMN events_staging.events_ingested.action IS 'Action of the user';
COMMENT ON COLUMN events_staging.events_ingested.tags IS 'Tags of the event';
COMMENT ON COLUMN events_staging.events_ingested.loaded_at IS 'When the event was loaded';
COMMENT ON COLUMN events_staging.events_ingested.source_uri IS 'Object that held the event';
COMMENT ON COLUMN events_staging.events_ingested.source_version IS 'Version of the object';
COMMENT ON COLUMN events_staging.events_ingested.flow_run_id IS 'Flow run that loaded the event';
