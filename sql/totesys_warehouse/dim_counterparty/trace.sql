-- from: totesys_core.counterparty
SELECT
    counterparty.tableoid,
    counterparty.ctid,
    counterparty AS source_row
FROM totesys_core.counterparty
WHERE counterparty.counterparty_id = %(counterparty_id)s;

-- from: totesys_warehouse.dim_location
SELECT
    dim_location.tableoid,
    dim_location.ctid,
    dim_location AS source_row
FROM totesys_warehouse.dim_location
WHERE
    EXISTS (
        SELECT 1
        FROM totesys_core.counterparty
        WHERE
            counterparty.counterparty_id = %(counterparty_id)s
            AND counterparty.legal_address_id = dim_location.location_id
    );
