-- warn: facts are waiting for a dimension
SELECT
    source_table,
    source_id,
    last_updated,
    missing,
    first_load_id
FROM totesys_warehouse.quarantine
WHERE is_waiting;
