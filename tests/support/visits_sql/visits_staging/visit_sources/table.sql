-- grain: one visit, with the object that it was loaded from
-- key: none
-- sources: visits_staging.visits, ledger.loads
-- write disposition: none; a view
CREATE OR REPLACE VIEW visits_staging.visit_sources AS
SELECT
    visits.load_id,
    visits.country,
    loads.source_uri
FROM visits_staging.visits
INNER JOIN ledger.loads ON visits.load_id = loads.load_id;

COMMENT ON VIEW visits_staging.visit_sources IS 'Each visit with the object that it was loaded from';
COMMENT ON COLUMN visits_staging.visit_sources.load_id IS 'Load that brought the visit; see ledger.loads';
COMMENT ON COLUMN visits_staging.visit_sources.country IS 'Country as delivered';
COMMENT ON COLUMN visits_staging.visit_sources.source_uri IS 'Object that held the visit';
