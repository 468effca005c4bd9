-- fail: orders in the files have no row
SELECT affected.order_id
FROM affected_latest_orders AS affected
WHERE
    NOT EXISTS (
        SELECT FROM orders_core.latest_orders AS built
        WHERE built.order_id = affected.order_id
    )
    AND EXISTS (
        SELECT FROM orders_staging.orders_raw AS versions
        WHERE versions.id = affected.order_id
    );

-- fail: rows differ from every version of their order in their file
SELECT
    latest_orders.order_id,
    latest_orders.file_date,
    latest_orders.updated_at
FROM affected_latest_orders AS affected
INNER JOIN orders_core.latest_orders ON affected.order_id = latest_orders.order_id
WHERE NOT EXISTS (
    SELECT FROM orders_staging.orders_raw AS versions
    WHERE
        versions.id = latest_orders.order_id
        AND versions.file_date = latest_orders.file_date
        AND versions.load_id = latest_orders.load_id
        AND versions.updated_at = latest_orders.updated_at
        -- The comparison of stored forms, which the build copies, takes a third of the time.
        AND record_image_eq(
            row(versions.total_price, versions.line_items), row(latest_orders.total_price, latest_orders.line_items)
        )
);

-- fail: a later version of an order exists
SELECT
    latest_orders.order_id,
    latest_orders.file_date,
    latest_orders.updated_at
FROM affected_latest_orders AS affected
INNER JOIN orders_core.latest_orders ON affected.order_id = latest_orders.order_id
WHERE EXISTS (
    SELECT FROM orders_staging.orders_raw AS versions
    WHERE
        versions.id = latest_orders.order_id
        AND (versions.updated_at, versions.file_date) > (latest_orders.updated_at, latest_orders.file_date)
);

-- warn: orders appear more than once in the file
SELECT
    orders_raw.id,
    count(*) AS row_count
FROM orders_staging.orders_raw
WHERE orders_raw.file_date = %(day)s
GROUP BY orders_raw.id
HAVING count(*) > 1;

-- warn: orders have a later date than their file
SELECT
    orders_raw.id,
    orders_raw.order_date
FROM orders_staging.orders_raw
WHERE orders_raw.file_date = %(day)s AND orders_raw.order_date > orders_raw.file_date;

-- warn: totals differ from subtotal plus taxes
SELECT
    latest_orders.order_id,
    latest_orders.subtotal_price,
    latest_orders.total_tax,
    latest_orders.taxes_included,
    latest_orders.total_price
FROM affected_latest_orders AS affected
INNER JOIN orders_core.latest_orders ON affected.order_id = latest_orders.order_id
WHERE
    latest_orders.total_price
    <> latest_orders.subtotal_price + CASE WHEN latest_orders.taxes_included THEN 0 ELSE latest_orders.total_tax END;
