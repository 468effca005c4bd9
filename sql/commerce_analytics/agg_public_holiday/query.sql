-- grain: one as-of date
-- key: ingestion_date
-- parameters: ingestion_date (date, the as-of date)
-- sources: commerce_staging.orders, if_common.dim_dates
-- write disposition: replace partition (ingestion_date)
-- rules: a public holiday is a day from Monday to Friday that is not a working day (rejected: any non-working day);
--   the year is as-of - 1 year < order_date <= as-of; 1 year before 29 February is 28 February (rejected: the calendar
--   year; all orders);
--   the measure is the number of orders (rejected: the sum of their quantities; the number of distinct days);
--   an order counts for the month of its own date (rejected: the month of the as-of date)
WITH holiday_orders AS (
    SELECT date_part('month', orders.order_date) AS month_number
    FROM commerce_staging.orders
    INNER JOIN if_common.dim_dates ON orders.order_date = dim_dates.calendar_dt
    WHERE
        dim_dates.day_of_the_week_num BETWEEN 1 AND 5
        AND NOT dim_dates.working_day
        AND orders.order_date > %(ingestion_date)s::date - interval '1 year'
        AND orders.order_date <= %(ingestion_date)s::date
)

SELECT
    %(ingestion_date)s::date AS ingestion_date,
    (count(*) FILTER (WHERE month_number = 1))::integer AS tt_order_hol_jan,
    (count(*) FILTER (WHERE month_number = 2))::integer AS tt_order_hol_feb,
    (count(*) FILTER (WHERE month_number = 3))::integer AS tt_order_hol_mar,
    (count(*) FILTER (WHERE month_number = 4))::integer AS tt_order_hol_apr,
    (count(*) FILTER (WHERE month_number = 5))::integer AS tt_order_hol_may,
    (count(*) FILTER (WHERE month_number = 6))::integer AS tt_order_hol_jun,
    (count(*) FILTER (WHERE month_number = 7))::integer AS tt_order_hol_jul,
    (count(*) FILTER (WHERE month_number = 8))::integer AS tt_order_hol_aug,
    (count(*) FILTER (WHERE month_number = 9))::integer AS tt_order_hol_sep,
    (count(*) FILTER (WHERE month_number = 10))::integer AS tt_order_hol_oct,
    (count(*) FILTER (WHERE month_number = 11))::integer AS tt_order_hol_nov,
    (count(*) FILTER (WHERE month_number = 12))::integer AS tt_order_hol_dec
FROM holiday_orders
