-- question: How many shipments were late, and how many items were undelivered, on each day of the report?
SELECT
    ingestion_date,
    tt_late_shipments,
    tt_undelivered_items
FROM commerce_analytics.agg_shipments
ORDER BY ingestion_date;

-- question: Which product was the best one on the newest day of the report?
SELECT
    ingestion_date,
    product_name,
    tt_review_points,
    pct_five_star_review
FROM commerce_analytics.best_performing_product
ORDER BY ingestion_date DESC
LIMIT 1;
