-- grain: one order, including test orders: its current version and the file that holds it
-- key: order_id
-- sources: none
-- write disposition: merge
CREATE TABLE IF NOT EXISTS orders_core.latest_orders (
    order_id bigint NOT NULL,
    file_date date NOT NULL,
    load_id bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    is_test boolean NOT NULL,
    user_id bigint,
    created_at timestamptz NOT NULL,
    order_date date NOT NULL,
    processed_at timestamptz,
    cancelled_at timestamptz,
    cancel_reason text,
    order_number bigint,
    name text,
    email text,
    phone text,
    buyer_accepts_marketing boolean,
    location_id bigint,
    checkout_id bigint,
    gateway text,
    processing_method text,
    subtotal_price numeric(14, 2),
    total_discounts numeric(14, 2),
    total_line_items_price numeric(14, 2),
    total_price numeric(14, 2),
    total_price_usd numeric(14, 2),
    total_tax numeric(14, 2),
    taxes_included boolean,
    total_weight numeric(18, 3),
    line_items jsonb,
    CONSTRAINT latest_orders_order_id_pk PRIMARY KEY (order_id)
);

CREATE INDEX IF NOT EXISTS latest_orders_file_date_ix ON orders_core.latest_orders (file_date);

CREATE INDEX IF NOT EXISTS latest_orders_user_id_created_at_order_id_ix
ON orders_core.latest_orders (user_id, created_at, order_id);

COMMENT ON TABLE orders_core.latest_orders
IS 'The current version of each order; the other tables of the schema derive from it';
COMMENT ON COLUMN orders_core.latest_orders.order_id IS 'Identifier of the order';
COMMENT ON COLUMN orders_core.latest_orders.file_date IS 'Date of the file that holds the current version';
COMMENT ON COLUMN orders_core.latest_orders.load_id IS 'Load of that file; see ledger.loads';
COMMENT ON COLUMN orders_core.latest_orders.updated_at IS 'Instant of the last change to the order';
COMMENT ON COLUMN orders_core.latest_orders.is_test IS 'Whether the order is a test';
COMMENT ON COLUMN orders_core.latest_orders.user_id IS 'Staff member who took the order at the till';
COMMENT ON COLUMN orders_core.latest_orders.created_at IS 'Instant when the order was placed';
COMMENT ON COLUMN orders_core.latest_orders.order_date IS 'Local date of the order, in the offset of the order';
COMMENT ON COLUMN orders_core.latest_orders.processed_at IS 'Instant when the order was processed';
COMMENT ON COLUMN orders_core.latest_orders.cancelled_at IS 'Instant when the order was cancelled';
COMMENT ON COLUMN orders_core.latest_orders.cancel_reason IS 'Reason for the cancellation';
COMMENT ON COLUMN orders_core.latest_orders.order_number IS 'Number of the order as the customer sees it';
COMMENT ON COLUMN orders_core.latest_orders.name IS 'Name of the order';
COMMENT ON COLUMN orders_core.latest_orders.email IS 'E-mail address of the customer';
COMMENT ON COLUMN orders_core.latest_orders.phone IS 'Telephone number of the customer';
COMMENT ON COLUMN orders_core.latest_orders.buyer_accepts_marketing IS 'Whether the customer accepts marketing';
COMMENT ON COLUMN orders_core.latest_orders.location_id IS 'Shop that took the order';
COMMENT ON COLUMN orders_core.latest_orders.checkout_id IS 'Checkout of an online order; null at the till';
COMMENT ON COLUMN orders_core.latest_orders.gateway IS 'Payment gateway';
COMMENT ON COLUMN orders_core.latest_orders.processing_method IS 'How the payment was processed';
COMMENT ON COLUMN orders_core.latest_orders.subtotal_price IS 'Price of the line items after discounts';
COMMENT ON COLUMN orders_core.latest_orders.total_discounts IS 'Discounts on the order';
COMMENT ON COLUMN orders_core.latest_orders.total_line_items_price IS 'Price of the line items before discounts';
COMMENT ON COLUMN orders_core.latest_orders.total_price
IS 'Price of the order: the subtotal, plus taxes that it does not include';
COMMENT ON COLUMN orders_core.latest_orders.total_price_usd IS 'Price of the order in US dollars';
COMMENT ON COLUMN orders_core.latest_orders.total_tax IS 'Taxes';
COMMENT ON COLUMN orders_core.latest_orders.taxes_included IS 'Whether the subtotal includes the taxes';
COMMENT ON COLUMN orders_core.latest_orders.total_weight IS 'Weight of the line items in grams';
COMMENT ON COLUMN orders_core.latest_orders.line_items IS 'Line items as delivered';
