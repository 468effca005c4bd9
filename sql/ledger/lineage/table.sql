-- grain: one load that one partition of a built table, or one export of a query, was made from, for each current export
-- key: table_name, partition, load_id, export_id, export_name
-- sources: ledger.builds, ledger.exports, ledger.loads
-- write disposition: none; a view
CREATE OR REPLACE VIEW ledger.lineage AS
WITH current_exports AS (
    SELECT DISTINCT ON (export_id, name)
        export_id,
        name,
        uri,
        source_version,
        table_name,
        load_ids,
        as_of,
        exported_at
    FROM ledger.exports
    ORDER BY export_id ASC, name ASC, entry_id DESC
),

parts AS (
    SELECT
        builds.table_name,
        builds.partition,
        builds.built_at,
        builds.flow_run_id,
        builds.load_ids,
        current_exports.export_id,
        current_exports.name,
        current_exports.uri,
        current_exports.source_version,
        current_exports.exported_at
    FROM ledger.builds
    LEFT JOIN current_exports
        ON
            builds.table_name = current_exports.table_name
            AND (current_exports.as_of IS NULL OR builds.partition IN ('', current_exports.as_of::text))
    UNION ALL
    SELECT
        table_name,
        NULL AS partition,
        NULL AS built_at,
        NULL AS flow_run_id,
        load_ids,
        export_id,
        name,
        uri,
        source_version,
        exported_at
    FROM current_exports
    WHERE load_ids IS NOT NULL
)

SELECT
    parts.export_id,
    parts.name AS export_name,
    parts.uri AS export_uri,
    parts.source_version AS export_version,
    parts.exported_at,
    parts.table_name,
    parts.partition,
    parts.built_at,
    parts.flow_run_id AS build_flow_run_id,
    read.load_id,
    loads.dataset,
    loads.status AS load_status,
    loads.source_uri,
    loads.source_version,
    loads.loaded_at,
    loads.flow_run_id AS load_flow_run_id
FROM parts
LEFT JOIN LATERAL unnest(parts.load_ids) AS read (load_id) ON TRUE
LEFT JOIN ledger.loads ON read.load_id = loads.load_id;

COMMENT ON VIEW ledger.lineage
IS 'Origin of every export and every built table: the export, its table, the loads of the table, their object versions';
COMMENT ON COLUMN ledger.lineage.export_id IS 'Name of the export; null if the table was not exported';
COMMENT ON COLUMN ledger.lineage.export_name IS 'File name in the export';
COMMENT ON COLUMN ledger.lineage.export_uri IS 'Address of the exported object';
COMMENT ON COLUMN ledger.lineage.export_version IS 'Version of the exported object in S3';
COMMENT ON COLUMN ledger.lineage.exported_at IS 'When the object was exported';
COMMENT ON COLUMN ledger.lineage.table_name IS 'Built table, or exported query, as schema.table';
COMMENT ON COLUMN ledger.lineage.partition
IS 'Partition that the build was for; empty for a table that is built as a whole; null for an exported query';
COMMENT ON COLUMN ledger.lineage.built_at IS 'When the partition was built; null for an exported query';
COMMENT ON COLUMN ledger.lineage.build_flow_run_id IS 'Flow run that built the partition';
COMMENT ON COLUMN ledger.lineage.load_id
IS 'Load whose rows the build or the export read; null in entries of older versions, and if the query read no load';
COMMENT ON COLUMN ledger.lineage.dataset IS 'Dataset of the load';
COMMENT ON COLUMN ledger.lineage.load_status
IS 'Status of the load: loaded; superseded or lost if the table is older than the current load';
COMMENT ON COLUMN ledger.lineage.source_uri IS 'Address of the object that was loaded';
COMMENT ON COLUMN ledger.lineage.source_version IS 'Version of the object that was loaded';
COMMENT ON COLUMN ledger.lineage.loaded_at IS 'When the object was loaded';
COMMENT ON COLUMN ledger.lineage.load_flow_run_id IS 'Flow run that loaded the object';
