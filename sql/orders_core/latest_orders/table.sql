-- grain: one order, test orders included: the version of it that counts, with the file that it stands in
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

COMMENT ON TABLE orders_core.latest_orders IS
'The version of each order that counts; the other tables of this schema are made of it';
COMMENT ON COLUMN orders_core.latest_orders.file_date IS 'Day of the file that the version stands in';
COMMENT ON COLUMN orders_core.latest_orders.load_id IS 'Load of that file; see ledger.loads';
COMMENT ON COLUMN orders_core.latest_orders.order_date IS 'Local date of the order, in its own offset';
