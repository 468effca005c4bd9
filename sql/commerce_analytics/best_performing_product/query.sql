-- grain: one as-of date
-- key: ingestion_date
-- parameters: ingestion_date (date, the as-of date)
-- sources: commerce_staging.orders, commerce_staging.reviews, commerce_staging.shipment_deliveries,
--   if_common.dim_dates, if_common.dim_products
-- write disposition: replace partition (ingestion_date)
-- rules: the best product has the highest sum of review points; ties go to more reviews, then to the lower product_id
--   (rejected: the number of reviews; the average);
--   repeated reviews all count (rejected: distinct reviews);
--   the most ordered day has the most orders of the product; ties go to the greater quantity, then to the earlier day
--   (rejected: the greatest quantity);
--   the star percentages refer to the product's own reviews (rejected: all reviews);
--   the early and late percentages refer to the product's shipped orders, which have a shipment_date: an order is late
--   if shipment_date >= order_date + 6 days and delivery_date is null, otherwise early; both are null if no order was
--   shipped (rejected: all orders of the product);
--   a public holiday is a day from Monday to Friday that is not a working day (rejected: any non-working day);
--   without any review the date has a row of nulls (rejected: no row)
WITH as_of AS (
    SELECT %(ingestion_date)s::date AS ingestion_date
),

best AS (
    SELECT
        reviews.product_id,
        sum(reviews.review)::integer AS tt_review_points,
        100 * count(*) FILTER (WHERE reviews.review = 1) / count(*)::double precision AS pct_one_star_review,
        100 * count(*) FILTER (WHERE reviews.review = 2) / count(*)::double precision AS pct_two_star_review,
        100 * count(*) FILTER (WHERE reviews.review = 3) / count(*)::double precision AS pct_three_star_review,
        100 * count(*) FILTER (WHERE reviews.review = 4) / count(*)::double precision AS pct_four_star_review,
        100 * count(*) FILTER (WHERE reviews.review = 5) / count(*)::double precision AS pct_five_star_review
    FROM commerce_staging.reviews
    GROUP BY reviews.product_id
    ORDER BY sum(reviews.review) DESC, count(*) DESC, reviews.product_id ASC
    LIMIT 1
),

most_ordered_day AS (
    SELECT orders.order_date
    FROM commerce_staging.orders
    INNER JOIN best ON orders.product_id = best.product_id
    GROUP BY orders.order_date
    ORDER BY count(*) DESC, coalesce(sum(orders.quantity), 0) DESC, orders.order_date ASC
    LIMIT 1
),

shipped_orders AS (
    SELECT shipments.shipment_date >= orders.order_date + 6 AND shipments.delivery_date IS NULL AS is_late
    FROM commerce_staging.shipment_deliveries AS shipments
    INNER JOIN commerce_staging.orders ON shipments.order_id = orders.order_id
    INNER JOIN best ON orders.product_id = best.product_id
    WHERE shipments.shipment_date IS NOT NULL
),

shipment_shares AS (
    SELECT
        100 * count(*) FILTER (WHERE NOT is_late) / nullif(count(*), 0)::double precision AS pct_early_shipments,
        100 * count(*) FILTER (WHERE is_late) / nullif(count(*), 0)::double precision AS pct_late_shipments
    FROM shipped_orders
),

calendar AS (
    SELECT
        calendar_dt,
        day_of_the_week_num BETWEEN 1 AND 5 AND NOT working_day AS is_public_holiday
    FROM if_common.dim_dates
)

SELECT
    as_of.ingestion_date,
    dim_products.product_name,
    most_ordered_day.order_date AS most_ordered_day,
    calendar.is_public_holiday,
    best.tt_review_points,
    best.pct_one_star_review,
    best.pct_two_star_review,
    best.pct_three_star_review,
    best.pct_four_star_review,
    best.pct_five_star_review,
    shipment_shares.pct_early_shipments,
    shipment_shares.pct_late_shipments
FROM as_of
CROSS JOIN shipment_shares
LEFT JOIN best ON TRUE
LEFT JOIN most_ordered_day ON TRUE
LEFT JOIN if_common.dim_products ON best.product_id = dim_products.product_id
LEFT JOIN calendar ON most_ordered_day.order_date = calendar.calendar_dt
