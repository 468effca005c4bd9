-- grain: one order that is not a test
-- key: transaction_id
-- sources: none
-- write disposition: merge
CREATE TABLE IF NOT EXISTS orders_core.orders_table (
    transaction_id bigint NOT NULL,
    order_number bigint,
    checkout_id bigint,
    location_id bigint,
    payment_type text,
    is_online_order boolean NOT NULL,
    product text,
    created_at timestamptz NOT NULL,
    processed_at timestamptz,
    updated_at timestamptz NOT NULL,
    cancelled_at timestamptz,
    cancellation_reason text,
    processing_method text,
    subtotal_price numeric(14, 2),
    total_discounts numeric(14, 2),
    total_line_items_price numeric(14, 2),
    total_price numeric(14, 2),
    total_price_usd numeric(14, 2),
    total_tax numeric(14, 2),
    total_weight numeric(18, 3),
    CONSTRAINT orders_table_transaction_id_pk PRIMARY KEY (transaction_id)
);

COMMENT ON TABLE orders_core.orders_table IS 'The current version of each order, without test orders';
COMMENT ON COLUMN orders_core.orders_table.transaction_id IS 'Identifier of the order';
COMMENT ON COLUMN orders_core.orders_table.order_number IS 'Number of the order as the customer sees it';
COMMENT ON COLUMN orders_core.orders_table.checkout_id IS 'Checkout of an online order; null at the till';
COMMENT ON COLUMN orders_core.orders_table.location_id IS 'Shop that took the order';
COMMENT ON COLUMN orders_core.orders_table.payment_type IS 'Payment gateway';
COMMENT ON COLUMN orders_core.orders_table.is_online_order IS 'Whether the order has a checkout';
COMMENT ON COLUMN orders_core.orders_table.product IS 'Name of the order';
COMMENT ON COLUMN orders_core.orders_table.created_at IS 'Instant when the order was placed';
COMMENT ON COLUMN orders_core.orders_table.processed_at IS 'Instant when the order was processed';
COMMENT ON COLUMN orders_core.orders_table.updated_at IS 'Instant of the last change to the order';
COMMENT ON COLUMN orders_core.orders_table.cancelled_at IS 'Instant when the order was cancelled';
COMMENT ON COLUMN orders_core.orders_table.cancellation_reason IS 'Reason for the cancellation';
COMMENT ON COLUMN orders_core.orders_table.processing_method IS 'How the payment was processed';
COMMENT ON COLUMN orders_core.orders_table.subtotal_price IS 'Price of the line items after discounts';
COMMENT ON COLUMN orders_core.orders_table.total_discounts IS 'Discounts on the order';
COMMENT ON COLUMN orders_core.orders_table.total_line_items_price IS 'Price of the line items before discounts';
COMMENT ON COLUMN orders_core.orders_table.total_price
IS 'Price of the order; do not sum it over order_details, which repeats the order';
COMMENT ON COLUMN orders_core.orders_table.total_price_usd IS 'Price of the order in US dollars';
COMMENT ON COLUMN orders_core.orders_table.total_tax IS 'Taxes';
COMMENT ON COLUMN orders_core.orders_table.total_weight IS 'Weight of the line items in grams';
