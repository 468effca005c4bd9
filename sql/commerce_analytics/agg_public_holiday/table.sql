-- grain: one as-of date
-- key: ingestion_date
-- sources: none
-- write disposition: replace partition (ingestion_date)
CREATE TABLE IF NOT EXISTS commerce_analytics.agg_public_holiday (
    ingestion_date date NOT NULL,
    tt_order_hol_jan integer NOT NULL,
    tt_order_hol_feb integer NOT NULL,
    tt_order_hol_mar integer NOT NULL,
    tt_order_hol_apr integer NOT NULL,
    tt_order_hol_may integer NOT NULL,
    tt_order_hol_jun integer NOT NULL,
    tt_order_hol_jul integer NOT NULL,
    tt_order_hol_aug integer NOT NULL,
    tt_order_hol_sep integer NOT NULL,
    tt_order_hol_oct integer NOT NULL,
    tt_order_hol_nov integer NOT NULL,
    tt_order_hol_dec integer NOT NULL,
    CONSTRAINT agg_public_holiday_ingestion_date_pk PRIMARY KEY (ingestion_date)
);

COMMENT ON TABLE commerce_analytics.agg_public_holiday
IS 'Orders on public holidays in the year up to the as-of date, by month';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.ingestion_date IS 'The as-of date';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.tt_order_hol_jan IS 'Orders on public holidays in January';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.tt_order_hol_feb IS 'Orders on public holidays in February';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.tt_order_hol_mar IS 'Orders on public holidays in March';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.tt_order_hol_apr IS 'Orders on public holidays in April';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.tt_order_hol_may IS 'Orders on public holidays in May';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.tt_order_hol_jun IS 'Orders on public holidays in June';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.tt_order_hol_jul IS 'Orders on public holidays in July';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.tt_order_hol_aug IS 'Orders on public holidays in August';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.tt_order_hol_sep IS 'Orders on public holidays in September';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.tt_order_hol_oct IS 'Orders on public holidays in October';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.tt_order_hol_nov IS 'Orders on public holidays in November';
COMMENT ON COLUMN commerce_analytics.agg_public_holiday.tt_order_hol_dec IS 'Orders on public holidays in December';
