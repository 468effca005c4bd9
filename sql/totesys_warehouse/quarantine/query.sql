-- grain: one version of a fact that waits for its dimensions, or was released by this build
-- key: source_table, source_id, last_updated
-- parameters: none
-- sources: totesys_staging.sales_order, totesys_staging.purchase_order, totesys_staging.payment,
--   totesys_warehouse.dim_staff, totesys_warehouse.dim_counterparty, totesys_warehouse.dim_currency,
--   totesys_warehouse.dim_design, totesys_warehouse.dim_location, totesys_warehouse.dim_transaction,
--   totesys_warehouse.dim_payment_type
-- write disposition: merge by (source_table)
-- rules: a version waits as long as one of its dimensions has not come (rejected: dropping it; a null key; a made-up
--   dimension);
--   one that waited and is complete is released, for its fact to take in the same build, and leaves with the next build
--   (rejected: forgetting it before it stands);
--   of a version that arrives again, the latest row counts, under the load that brought it first, and it is not deleted
--   (rejected: the first row)
WITH sales_order_arrived AS (
    SELECT sales_order.*
    FROM totesys_staging.sales_order
    UNION ALL
    SELECT source_row.*
    FROM totesys_warehouse.quarantine
    CROSS JOIN LATERAL jsonb_populate_record(NULL::totesys_staging.sales_order, quarantine.source_row) AS source_row
    WHERE
        quarantine.source_table = 'sales_order' AND quarantine.is_waiting
        AND NOT EXISTS (
            SELECT 1
            FROM totesys_staging.sales_order
            WHERE
                sales_order.sales_order_id = quarantine.source_id
                AND sales_order.last_updated = quarantine.last_updated
        )
),

sales_order_decided AS (
    SELECT
        'sales_order' AS source_table,
        arrived.sales_order_id AS source_id,
        arrived.last_updated,
        arrived.load_id,
        to_jsonb(arrived) AS source_row,
        concat_ws(
            ', ',
            CASE WHEN dim_staff.staff_id IS NULL THEN 'staff_id ' || arrived.staff_id END,
            CASE WHEN dim_counterparty.counterparty_id IS NULL THEN 'counterparty_id ' || arrived.counterparty_id END,
            CASE WHEN dim_currency.currency_id IS NULL THEN 'currency_id ' || arrived.currency_id END,
            CASE WHEN dim_design.design_id IS NULL THEN 'design_id ' || arrived.design_id END,
            CASE
                WHEN dim_location.location_id IS NULL
                    THEN 'agreed_delivery_location_id ' || arrived.agreed_delivery_location_id
            END
        ) AS missing
    FROM sales_order_arrived AS arrived
    LEFT JOIN totesys_warehouse.dim_staff ON arrived.staff_id = dim_staff.staff_id
    LEFT JOIN totesys_warehouse.dim_counterparty ON arrived.counterparty_id = dim_counterparty.counterparty_id
    LEFT JOIN totesys_warehouse.dim_currency ON arrived.currency_id = dim_currency.currency_id
    LEFT JOIN totesys_warehouse.dim_design ON arrived.design_id = dim_design.design_id
    LEFT JOIN totesys_warehouse.dim_location ON arrived.agreed_delivery_location_id = dim_location.location_id
),

purchase_order_arrived AS (
    SELECT purchase_order.*
    FROM totesys_staging.purchase_order
    UNION ALL
    SELECT source_row.*
    FROM totesys_warehouse.quarantine
    CROSS JOIN LATERAL jsonb_populate_record(NULL::totesys_staging.purchase_order, quarantine.source_row) AS source_row
    WHERE
        quarantine.source_table = 'purchase_order' AND quarantine.is_waiting
        AND NOT EXISTS (
            SELECT 1
            FROM totesys_staging.purchase_order
            WHERE
                purchase_order.purchase_order_id = quarantine.source_id
                AND purchase_order.last_updated = quarantine.last_updated
        )
),

purchase_order_decided AS (
    SELECT
        'purchase_order' AS source_table,
        arrived.purchase_order_id AS source_id,
        arrived.last_updated,
        arrived.load_id,
        to_jsonb(arrived) AS source_row,
        concat_ws(
            ', ',
            CASE WHEN dim_staff.staff_id IS NULL THEN 'staff_id ' || arrived.staff_id END,
            CASE WHEN dim_counterparty.counterparty_id IS NULL THEN 'counterparty_id ' || arrived.counterparty_id END,
            CASE WHEN dim_currency.currency_id IS NULL THEN 'currency_id ' || arrived.currency_id END,
            CASE
                WHEN dim_location.location_id IS NULL
                    THEN 'agreed_delivery_location_id ' || arrived.agreed_delivery_location_id
            END
        ) AS missing
    FROM purchase_order_arrived AS arrived
    LEFT JOIN totesys_warehouse.dim_staff ON arrived.staff_id = dim_staff.staff_id
    LEFT JOIN totesys_warehouse.dim_counterparty ON arrived.counterparty_id = dim_counterparty.counterparty_id
    LEFT JOIN totesys_warehouse.dim_currency ON arrived.currency_id = dim_currency.currency_id
    LEFT JOIN totesys_warehouse.dim_location ON arrived.agreed_delivery_location_id = dim_location.location_id
),

payment_arrived AS (
    SELECT payment.*
    FROM totesys_staging.payment
    UNION ALL
    SELECT source_row.*
    FROM totesys_warehouse.quarantine
    CROSS JOIN LATERAL jsonb_populate_record(NULL::totesys_staging.payment, quarantine.source_row) AS source_row
    WHERE
        quarantine.source_table = 'payment' AND quarantine.is_waiting
        AND NOT EXISTS (
            SELECT 1
            FROM totesys_staging.payment
            WHERE
                payment.payment_id = quarantine.source_id
                AND payment.last_updated = quarantine.last_updated
        )
),

payment_decided AS (
    SELECT
        'payment' AS source_table,
        arrived.payment_id AS source_id,
        arrived.last_updated,
        arrived.load_id,
        to_jsonb(arrived) AS source_row,
        concat_ws(
            ', ',
            CASE WHEN dim_transaction.transaction_id IS NULL THEN 'transaction_id ' || arrived.transaction_id END,
            CASE WHEN dim_counterparty.counterparty_id IS NULL THEN 'counterparty_id ' || arrived.counterparty_id END,
            CASE WHEN dim_currency.currency_id IS NULL THEN 'currency_id ' || arrived.currency_id END,
            CASE WHEN dim_payment_type.payment_type_id IS NULL THEN 'payment_type_id ' || arrived.payment_type_id END
        ) AS missing
    FROM payment_arrived AS arrived
    LEFT JOIN totesys_warehouse.dim_transaction ON arrived.transaction_id = dim_transaction.transaction_id
    LEFT JOIN totesys_warehouse.dim_counterparty ON arrived.counterparty_id = dim_counterparty.counterparty_id
    LEFT JOIN totesys_warehouse.dim_currency ON arrived.currency_id = dim_currency.currency_id
    LEFT JOIN totesys_warehouse.dim_payment_type ON arrived.payment_type_id = dim_payment_type.payment_type_id
),

decided AS (
    SELECT
        source_table,
        source_id,
        last_updated,
        load_id,
        source_row,
        missing
    FROM sales_order_decided
    UNION ALL
    SELECT
        source_table,
        source_id,
        last_updated,
        load_id,
        source_row,
        missing
    FROM purchase_order_decided
    UNION ALL
    SELECT
        source_table,
        source_id,
        last_updated,
        load_id,
        source_row,
        missing
    FROM payment_decided
)

SELECT
    decided.source_table,
    decided.source_id,
    decided.last_updated,
    decided.missing,
    decided.load_id,
    decided.source_row,
    decided.missing <> '' AS is_waiting,
    coalesce(standing.first_load_id, decided.load_id) AS first_load_id,
    CASE WHEN decided.load_id = standing.load_id THEN standing.deleted_at END AS deleted_at
FROM decided
LEFT JOIN totesys_warehouse.quarantine AS standing
    ON
        decided.source_table = standing.source_table
        AND decided.source_id = standing.source_id
        AND decided.last_updated = standing.last_updated
        AND standing.is_waiting
WHERE decided.missing <> '' OR standing.is_waiting
