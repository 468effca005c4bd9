-- fail: the as-of date does not have exactly one row
SELECT count(*) AS row_count
FROM commerce_analytics.agg_public_holiday
WHERE ingestion_date = %(ingestion_date)s
HAVING count(*) <> 1;

-- fail: the orders on holidays outnumber the staged orders of the year
WITH counted AS (
    SELECT
        tt_order_hol_jan + tt_order_hol_feb + tt_order_hol_mar + tt_order_hol_apr
        + tt_order_hol_may + tt_order_hol_jun + tt_order_hol_jul + tt_order_hol_aug
        + tt_order_hol_sep + tt_order_hol_oct + tt_order_hol_nov + tt_order_hol_dec AS order_count
    FROM commerce_analytics.agg_public_holiday
    WHERE ingestion_date = %(ingestion_date)s
),

staged AS (
    SELECT count(*) AS order_count
    FROM commerce_staging.orders
    WHERE order_date > %(ingestion_date)s::date - interval '1 year' AND order_date <= %(ingestion_date)s::date
)

SELECT
    counted.order_count AS counted_count,
    staged.order_count AS staged_count
FROM counted
CROSS JOIN staged
WHERE counted.order_count > staged.order_count;

-- fail: orders of the year have dates that the calendar lacks
SELECT
    orders.order_id,
    orders.order_date
FROM commerce_staging.orders
LEFT JOIN if_common.dim_dates ON orders.order_date = dim_dates.calendar_dt
WHERE
    dim_dates.calendar_dt IS NULL
    AND orders.order_date > %(ingestion_date)s::date - interval '1 year'
    AND orders.order_date <= %(ingestion_date)s::date;

-- warn: orders outside the year have dates that the calendar lacks
SELECT
    orders.order_id,
    orders.order_date
FROM commerce_staging.orders
LEFT JOIN if_common.dim_dates ON orders.order_date = dim_dates.calendar_dt
WHERE
    dim_dates.calendar_dt IS NULL
    AND NOT (
        orders.order_date > %(ingestion_date)s::date - interval '1 year'
        AND orders.order_date <= %(ingestion_date)s::date
    );
