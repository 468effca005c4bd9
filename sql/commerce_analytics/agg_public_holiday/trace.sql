-- from: commerce_staging.orders
SELECT
    orders.tableoid,
    orders.ctid,
    orders AS source_row
FROM commerce_staging.orders
WHERE
    orders.order_date > %(ingestion_date)s::date - interval '1 year'
    AND orders.order_date <= %(ingestion_date)s::date
    AND EXISTS (
        SELECT 1
        FROM if_common.dim_dates
        WHERE
            dim_dates.calendar_dt = orders.order_date
            AND dim_dates.day_of_the_week_num BETWEEN 1 AND 5
            AND NOT dim_dates.working_day
    );

-- from: if_common.dim_dates
SELECT
    dim_dates.tableoid,
    dim_dates.ctid,
    dim_dates AS source_row
FROM if_common.dim_dates
WHERE
    dim_dates.day_of_the_week_num BETWEEN 1 AND 5
    AND NOT dim_dates.working_day
    AND dim_dates.calendar_dt > %(ingestion_date)s::date - interval '1 year'
    AND dim_dates.calendar_dt <= %(ingestion_date)s::date
    AND EXISTS (
        SELECT 1
        FROM commerce_staging.orders
        WHERE orders.order_date = dim_dates.calendar_dt
    );
