-- grain: one day
-- key: date_id
-- parameters: none
-- sources: totesys_warehouse.sales_order_arrivals, totesys_warehouse.purchase_order_arrivals,
--   totesys_warehouse.payment_arrivals
-- write disposition: append
-- rules: the calendar holds every day from the earliest to the latest date that a fact uses, without gaps (rejected:
--   only the used days; a fixed span);
--   day_of_week follows ISO 8601, Monday = 1 to Sunday = 7 (rejected: Monday = 0);
--   names are English in every locale (rejected: to_char with TM)
WITH used AS (
    SELECT
        least(
            min(created_at::date),
            min(last_updated::date),
            min(agreed_payment_date),
            min(agreed_delivery_date)
        ) AS first_day,
        greatest(
            max(created_at::date),
            max(last_updated::date),
            max(agreed_payment_date),
            max(agreed_delivery_date)
        ) AS last_day
    FROM totesys_warehouse.sales_order_arrivals
    UNION ALL
    SELECT
        least(
            min(created_at::date),
            min(last_updated::date),
            min(agreed_delivery_date),
            min(agreed_payment_date)
        ) AS first_day,
        greatest(
            max(created_at::date),
            max(last_updated::date),
            max(agreed_delivery_date),
            max(agreed_payment_date)
        ) AS last_day
    FROM totesys_warehouse.purchase_order_arrivals
    UNION ALL
    SELECT
        least(
            min(created_at::date),
            min(last_updated::date),
            min(payment_date)
        ) AS first_day,
        greatest(
            max(created_at::date),
            max(last_updated::date),
            max(payment_date)
        ) AS last_day
    FROM totesys_warehouse.payment_arrivals
    UNION ALL
    SELECT
        min(date_id) AS first_day,
        max(date_id) AS last_day
    FROM totesys_warehouse.dim_date
),

days AS (
    SELECT generate_series(min(first_day)::timestamp, max(last_day), interval '1 day')::date AS date_id
    FROM used
)

SELECT
    date_id,
    extract(YEAR FROM date_id)::integer AS year,
    extract(MONTH FROM date_id)::integer AS month,
    extract(DAY FROM date_id)::integer AS day,
    extract(ISODOW FROM date_id)::integer AS day_of_week,
    to_char(date_id, 'FMDay') AS day_name,
    to_char(date_id, 'FMMonth') AS month_name,
    extract(QUARTER FROM date_id)::integer AS quarter
FROM days
