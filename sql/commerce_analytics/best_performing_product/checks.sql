-- fail: the as-of date does not have exactly one row
SELECT count(*) AS row_count
FROM commerce_analytics.best_performing_product
WHERE ingestion_date = %(ingestion_date)s
HAVING count(*) <> 1;

-- fail: the star percentages do not sum to 100
SELECT ingestion_date
FROM commerce_analytics.best_performing_product
WHERE
    ingestion_date = %(ingestion_date)s
    AND abs(
        pct_one_star_review + pct_two_star_review + pct_three_star_review + pct_four_star_review + pct_five_star_review
        - 100
    ) > 1e-9;

-- fail: the early and late percentages do not sum to 100
SELECT ingestion_date
FROM commerce_analytics.best_performing_product
WHERE ingestion_date = %(ingestion_date)s AND abs(pct_early_shipments + pct_late_shipments - 100) > 1e-9;

-- fail: the product has more points than all staged reviews
WITH staged AS (
    SELECT coalesce(sum(review), 0) AS review_points FROM commerce_staging.reviews
)

SELECT
    counted.tt_review_points,
    staged.review_points
FROM commerce_analytics.best_performing_product AS counted
CROSS JOIN staged
WHERE counted.ingestion_date = %(ingestion_date)s AND counted.tt_review_points > staged.review_points;

-- warn: the best product has no name in if_common.dim_products
SELECT tt_review_points
FROM commerce_analytics.best_performing_product
WHERE ingestion_date = %(ingestion_date)s AND tt_review_points IS NOT NULL AND product_name IS NULL;

-- warn: the calendar lacks the most ordered day
SELECT most_ordered_day
FROM commerce_analytics.best_performing_product
WHERE ingestion_date = %(ingestion_date)s AND most_ordered_day IS NOT NULL AND is_public_holiday IS NULL;
