-- grain: one fact version that waits for its dimension rows, or that this build releases
-- key: source_table, source_id, last_updated
-- parameters: none
-- sources: totesys_staging.sales_order, totesys_staging.purchase_order, totesys_staging.payment,
--   totesys_warehouse.dim_staff, totesys_warehouse.dim_counterparty, totesys_warehouse.dim_currency,
--   totesys_warehouse.dim_design, totesys_warehouse.dim_location, totesys_warehouse.dim_transaction,
--   totesys_warehouse.dim_payment_type
-- write disposition: merge by (source_table)
-- rules: a version waits while any of its dimension rows is missing (rejected: dropping it; a null key; an invented
--   dimension row);
--   a waiting version that is complete is released: the fact table loads it in the same build, and the next build
--   removes it from the quarantine (rejected: removing it before the fact table has it);
--   if a waiting version arrives again, the new row replaces the old one, keeps its first load and loses its deleted_at
--   (rejected: keeping the old row)
WITH staged AS (
    -- Most staged versions are complete and do not wait. Their exclusion here saves all joins below.
    SELECT
        'sales_order' AS source_table,
        sales_order.sales_order_id AS source_id,
        sales_order.last_updated,
        sales_order.load_id,
        NULL::integer AS transaction_id,
        sales_order.staff_id,
        sales_order.counterparty_id,
        sales_order.currency_id,
        NULL::integer AS payment_type_id,
        sales_order.design_id,
        sales_order.agreed_delivery_location_id,
        sales_order.ctid AS row_address
    FROM totesys_staging.sales_order
    LEFT JOIN totesys_warehouse.quarantine AS earlier
        ON
            earlier.is_waiting
            AND earlier.source_table = 'sales_order'
            AND sales_order.sales_order_id = earlier.source_id
            AND sales_order.last_updated = earlier.last_updated
    LEFT JOIN totesys_warehouse.dim_staff ON sales_order.staff_id = dim_staff.staff_id
    LEFT JOIN totesys_warehouse.dim_counterparty ON sales_order.counterparty_id = dim_counterparty.counterparty_id
    LEFT JOIN totesys_warehouse.dim_currency ON sales_order.currency_id = dim_currency.currency_id
    LEFT JOIN totesys_warehouse.dim_design ON sales_order.design_id = dim_design.design_id
    LEFT JOIN totesys_warehouse.dim_location ON sales_order.agreed_delivery_location_id = dim_location.location_id
    WHERE
        earlier.source_id IS NOT NULL
        OR dim_staff.staff_id IS NULL
        OR dim_counterparty.counterparty_id IS NULL
        OR dim_currency.currency_id IS NULL
        OR dim_design.design_id IS NULL
        OR dim_location.location_id IS NULL
    UNION ALL
    SELECT
        'purchase_order' AS source_table,
        purchase_order.purchase_order_id AS source_id,
        purchase_order.last_updated,
        purchase_order.load_id,
        NULL::integer AS transaction_id,
        purchase_order.staff_id,
        purchase_order.counterparty_id,
        purchase_order.currency_id,
        NULL::integer AS payment_type_id,
        NULL::integer AS design_id,
        purchase_order.agreed_delivery_location_id,
        purchase_order.ctid AS row_address
    FROM totesys_staging.purchase_order
    LEFT JOIN totesys_warehouse.quarantine AS earlier
        ON
            earlier.is_waiting
            AND earlier.source_table = 'purchase_order'
            AND purchase_order.purchase_order_id = earlier.source_id
            AND purchase_order.last_updated = earlier.last_updated
    LEFT JOIN totesys_warehouse.dim_staff ON purchase_order.staff_id = dim_staff.staff_id
    LEFT JOIN totesys_warehouse.dim_counterparty ON purchase_order.counterparty_id = dim_counterparty.counterparty_id
    LEFT JOIN totesys_warehouse.dim_currency ON purchase_order.currency_id = dim_currency.currency_id
    LEFT JOIN totesys_warehouse.dim_location ON purchase_order.agreed_delivery_location_id = dim_location.location_id
    WHERE
        earlier.source_id IS NOT NULL
        OR dim_staff.staff_id IS NULL
        OR dim_counterparty.counterparty_id IS NULL
        OR dim_currency.currency_id IS NULL
        OR dim_location.location_id IS NULL
    UNION ALL
    SELECT
        'payment' AS source_table,
        payment.payment_id AS source_id,
        payment.last_updated,
        payment.load_id,
        payment.transaction_id,
        NULL::integer AS staff_id,
        payment.counterparty_id,
        payment.currency_id,
        payment.payment_type_id,
        NULL::integer AS design_id,
        NULL::integer AS agreed_delivery_location_id,
        payment.ctid AS row_address
    FROM totesys_staging.payment
    LEFT JOIN totesys_warehouse.quarantine AS earlier
        ON
            earlier.is_waiting
            AND earlier.source_table = 'payment'
            AND payment.payment_id = earlier.source_id
            AND payment.last_updated = earlier.last_updated
    LEFT JOIN totesys_warehouse.dim_transaction ON payment.transaction_id = dim_transaction.transaction_id
    LEFT JOIN totesys_warehouse.dim_counterparty ON payment.counterparty_id = dim_counterparty.counterparty_id
    LEFT JOIN totesys_warehouse.dim_currency ON payment.currency_id = dim_currency.currency_id
    LEFT JOIN totesys_warehouse.dim_payment_type ON payment.payment_type_id = dim_payment_type.payment_type_id
    WHERE
        earlier.source_id IS NOT NULL
        OR dim_transaction.transaction_id IS NULL
        OR dim_counterparty.counterparty_id IS NULL
        OR dim_currency.currency_id IS NULL
        OR dim_payment_type.payment_type_id IS NULL
),

waiting AS (
    SELECT
        source_table,
        source_id,
        last_updated,
        load_id,
        first_load_id,
        deleted_at,
        source_row,
        (source_row ->> 'transaction_id')::integer AS transaction_id,
        (source_row ->> 'staff_id')::integer AS staff_id,
        (source_row ->> 'counterparty_id')::integer AS counterparty_id,
        (source_row ->> 'currency_id')::integer AS currency_id,
        (source_row ->> 'payment_type_id')::integer AS payment_type_id,
        (source_row ->> 'design_id')::integer AS design_id,
        (source_row ->> 'agreed_delivery_location_id')::integer AS agreed_delivery_location_id
    FROM totesys_warehouse.quarantine
    WHERE is_waiting
),

-- A version that was staged again replaces the waiting version. A key is null in both if its table lacks the column.
versions AS (
    SELECT
        waiting.load_id AS waiting_load_id,
        waiting.deleted_at,
        staged.row_address,
        waiting.source_row AS waiting_row,
        coalesce(staged.source_table, waiting.source_table) AS source_table,
        coalesce(staged.source_id, waiting.source_id) AS source_id,
        coalesce(staged.last_updated, waiting.last_updated) AS last_updated,
        coalesce(staged.load_id, waiting.load_id) AS load_id,
        coalesce(waiting.first_load_id, staged.load_id) AS first_load_id,
        coalesce(staged.transaction_id, waiting.transaction_id) AS transaction_id,
        coalesce(staged.staff_id, waiting.staff_id) AS staff_id,
        coalesce(staged.counterparty_id, waiting.counterparty_id) AS counterparty_id,
        coalesce(staged.currency_id, waiting.currency_id) AS currency_id,
        coalesce(staged.payment_type_id, waiting.payment_type_id) AS payment_type_id,
        coalesce(staged.design_id, waiting.design_id) AS design_id,
        coalesce(staged.agreed_delivery_location_id, waiting.agreed_delivery_location_id) AS location_id,
        staged.load_id IS NOT NULL AS is_staged
    FROM staged
    FULL JOIN waiting
        ON
            staged.source_table = waiting.source_table
            AND staged.source_id = waiting.source_id
            AND staged.last_updated = waiting.last_updated
),

checked AS (
    SELECT
        versions.source_table,
        versions.source_id,
        versions.last_updated,
        versions.load_id,
        versions.first_load_id,
        versions.is_staged,
        versions.row_address,
        versions.waiting_row,
        versions.waiting_load_id IS NOT NULL AS has_waited,
        CASE WHEN versions.load_id = versions.waiting_load_id THEN versions.deleted_at END AS deleted_at,
        concat_ws(
            ', ',
            CASE WHEN dim_transaction.transaction_id IS NULL THEN 'transaction_id ' || versions.transaction_id END,
            CASE WHEN dim_staff.staff_id IS NULL THEN 'staff_id ' || versions.staff_id END,
            CASE WHEN dim_counterparty.counterparty_id IS NULL THEN 'counterparty_id ' || versions.counterparty_id END,
            CASE WHEN dim_currency.currency_id IS NULL THEN 'currency_id ' || versions.currency_id END,
            CASE WHEN dim_payment_type.payment_type_id IS NULL THEN 'payment_type_id ' || versions.payment_type_id END,
            CASE WHEN dim_design.design_id IS NULL THEN 'design_id ' || versions.design_id END,
            CASE WHEN dim_location.location_id IS NULL THEN 'agreed_delivery_location_id ' || versions.location_id END
        ) AS missing
    FROM versions
    LEFT JOIN totesys_warehouse.dim_transaction ON versions.transaction_id = dim_transaction.transaction_id
    LEFT JOIN totesys_warehouse.dim_staff ON versions.staff_id = dim_staff.staff_id
    LEFT JOIN totesys_warehouse.dim_counterparty ON versions.counterparty_id = dim_counterparty.counterparty_id
    LEFT JOIN totesys_warehouse.dim_currency ON versions.currency_id = dim_currency.currency_id
    LEFT JOIN totesys_warehouse.dim_payment_type ON versions.payment_type_id = dim_payment_type.payment_type_id
    LEFT JOIN totesys_warehouse.dim_design ON versions.design_id = dim_design.design_id
    LEFT JOIN totesys_warehouse.dim_location ON versions.location_id = dim_location.location_id
),

decided AS (
    SELECT
        *,
        missing <> '' AS is_waiting
    FROM checked
)

SELECT
    source_table,
    source_id,
    last_updated,
    missing,
    is_waiting,
    load_id,
    first_load_id,
    deleted_at,
    -- Only the row of a selected version is read again as JSON: most staged versions are complete.
    CASE
        WHEN NOT is_staged THEN waiting_row
        WHEN source_table = 'sales_order'
            THEN (
                SELECT to_jsonb(sales_order)
                FROM totesys_staging.sales_order
                WHERE sales_order.ctid = decided.row_address
            )
        WHEN source_table = 'purchase_order'
            THEN (
                SELECT to_jsonb(purchase_order)
                FROM totesys_staging.purchase_order
                WHERE purchase_order.ctid = decided.row_address
            )
        ELSE (
            SELECT to_jsonb(payment)
            FROM totesys_staging.payment
            WHERE payment.ctid = decided.row_address
        )
    END AS source_row
FROM decided
WHERE is_waiting OR has_waited
