-- grain: one as-of date
-- key: ingestion_date
-- sources: none
-- write disposition: replace partition (ingestion_date)
CREATE TABLE IF NOT EXISTS commerce_analytics.best_performing_product (
    ingestion_date date NOT NULL,
    product_name text,
    most_ordered_day date,
    is_public_holiday boolean,
    tt_review_points integer,
    pct_one_star_review double precision,
    pct_two_star_review double precision,
    pct_three_star_review double precision,
    pct_four_star_review double precision,
    pct_five_star_review double precision,
    pct_early_shipments double precision,
    pct_late_shipments double precision,
    CONSTRAINT best_performing_product_ingestion_date_pk PRIMARY KEY (ingestion_date)
);

COMMENT ON TABLE commerce_analytics.best_performing_product IS 'The product with the most review points as of a date';
COMMENT ON COLUMN commerce_analytics.best_performing_product.ingestion_date IS 'The as-of date';
COMMENT ON COLUMN commerce_analytics.best_performing_product.product_name
IS 'Name of the product; null if if_common.dim_products has none';
COMMENT ON COLUMN commerce_analytics.best_performing_product.most_ordered_day
IS 'Day with the most orders of the product';
COMMENT ON COLUMN commerce_analytics.best_performing_product.is_public_holiday
IS 'Whether the most ordered day is a public holiday; null if the calendar lacks the day';
COMMENT ON COLUMN commerce_analytics.best_performing_product.tt_review_points
IS 'Sum of the review points of the product';
COMMENT ON COLUMN commerce_analytics.best_performing_product.pct_one_star_review
IS 'Percentage of the product''s reviews with 1 point';
COMMENT ON COLUMN commerce_analytics.best_performing_product.pct_two_star_review
IS 'Percentage of the product''s reviews with 2 points';
COMMENT ON COLUMN commerce_analytics.best_performing_product.pct_three_star_review
IS 'Percentage of the product''s reviews with 3 points';
COMMENT ON COLUMN commerce_analytics.best_performing_product.pct_four_star_review
IS 'Percentage of the product''s reviews with 4 points';
COMMENT ON COLUMN commerce_analytics.best_performing_product.pct_five_star_review
IS 'Percentage of the product''s reviews with 5 points';
COMMENT ON COLUMN commerce_analytics.best_performing_product.pct_early_shipments
IS 'Percentage of the product''s shipped orders that are not late';
COMMENT ON COLUMN commerce_analytics.best_performing_product.pct_late_shipments
IS 'Percentage of the product''s shipped orders that are late';
