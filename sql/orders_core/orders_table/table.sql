-- grain: one order that is no test
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

COMMENT ON TABLE orders_core.orders_table IS 'The latest version of each order, without test orders';
COMMENT ON COLUMN orders_core.orders_table.transaction_id IS 'Identifier of the order';
COMMENT ON COLUMN orders_core.orders_table.payment_type IS 'How it was paid: the gateway';
COMMENT ON COLUMN orders_core.orders_table.is_online_order IS 'Whether it went through a checkout';
COMMENT ON COLUMN orders_core.orders_table.product IS 'Name of the order';
COMMENT ON COLUMN orders_core.orders_table.total_price IS 'What the order costs; never add it up over order_details';
COMMENT ON COLUMN orders_core.orders_table.total_weight IS 'Grams';
