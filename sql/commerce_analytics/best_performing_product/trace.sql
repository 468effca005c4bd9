-- from: commerce_staging.reviews
SELECT
    reviews.tableoid,
    reviews.ctid,
    reviews AS source_row
FROM commerce_staging.reviews
WHERE
    reviews.product_id = (
        SELECT best.product_id
        FROM commerce_staging.reviews AS best
        GROUP BY best.product_id
        ORDER BY sum(best.review) DESC, count(*) DESC, best.product_id ASC
        LIMIT 1
    );

-- from: commerce_staging.orders
SELECT
    orders.tableoid,
    orders.ctid,
    orders AS source_row
FROM commerce_staging.orders
WHERE
    orders.product_id = (
        SELECT best.product_id
        FROM commerce_staging.reviews AS best
        GROUP BY best.product_id
        ORDER BY sum(best.review) DESC, count(*) DESC, best.product_id ASC
        LIMIT 1
    );

-- from: commerce_staging.shipment_deliveries
SELECT
    shipments.tableoid,
    shipments.ctid,
    shipments AS source_row
FROM commerce_staging.shipment_deliveries AS shipments
WHERE
    shipments.shipment_date IS NOT NULL
    AND EXISTS (
        SELECT 1
        FROM commerce_staging.orders
        WHERE
            orders.order_id = shipments.order_id
            AND orders.product_id = (
                SELECT best.product_id
                FROM commerce_staging.reviews AS best
                GROUP BY best.product_id
                ORDER BY sum(best.review) DESC, count(*) DESC, best.product_id ASC
                LIMIT 1
            )
    );

-- from: if_common.dim_products
SELECT
    dim_products.tableoid,
    dim_products.ctid,
    dim_products AS source_row
FROM if_common.dim_products
WHERE
    dim_products.product_id = (
        SELECT best.product_id
        FROM commerce_staging.reviews AS best
        GROUP BY best.product_id
        ORDER BY sum(best.review) DESC, count(*) DESC, best.product_id ASC
        LIMIT 1
    );

-- from: if_common.dim_dates
SELECT
    dim_dates.tableoid,
    dim_dates.ctid,
    dim_dates AS source_row
FROM if_common.dim_dates
WHERE dim_dates.calendar_dt = %(most_ordered_day)s;
