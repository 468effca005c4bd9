-- grain: one as-of date
-- key: ingestion_date
-- sources: none
-- write disposition: replace partition (ingestion_date)
CREATE TABLE IF NOT EXISTS commerce_analytics.agg_shipments (
    ingestion_date date NOT NULL,
    tt_late_shipments integer NOT NULL,
    tt_undelivered_items integer NOT NULL,
    CONSTRAINT agg_shipments_ingestion_date_pk PRIMARY KEY (ingestion_date)
);

COMMENT ON TABLE commerce_analytics.agg_shipments IS 'Late and undelivered shipments as of a date';
COMMENT ON COLUMN commerce_analytics.agg_shipments.ingestion_date IS 'The as-of date';
COMMENT ON COLUMN commerce_analytics.agg_shipments.tt_late_shipments
IS 'Late shipments: sent 6 days or more after the order and not delivered';
COMMENT ON COLUMN commerce_analytics.agg_shipments.tt_undelivered_items
IS 'Undelivered items: neither sent nor delivered 15 days or more after the order';
