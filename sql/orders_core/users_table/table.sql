-- grain: one staff member who took an order at the till
-- key: user_id
-- sources: none
-- write disposition: merge
CREATE TABLE IF NOT EXISTS orders_core.users_table (
    user_id bigint NOT NULL,
    email text,
    phone text,
    location_id bigint,
    buyer_accepts_marketing boolean,
    first_order_timestamp timestamptz NOT NULL,
    first_order_product text,
    last_order_timestamp timestamptz NOT NULL,
    last_order_product text,
    num_orders bigint NOT NULL,
    CONSTRAINT users_table_user_id_pk PRIMARY KEY (user_id),
    CONSTRAINT users_table_num_orders_ck CHECK (num_orders > 0)
);

COMMENT ON TABLE orders_core.users_table
IS 'Staff members who took orders at the till, with their first and last order';
COMMENT ON COLUMN orders_core.users_table.user_id IS 'Identifier of the staff member';
COMMENT ON COLUMN orders_core.users_table.email IS 'E-mail address on the last order';
COMMENT ON COLUMN orders_core.users_table.phone IS 'Telephone number on the last order';
COMMENT ON COLUMN orders_core.users_table.location_id IS 'Shop of the last order';
COMMENT ON COLUMN orders_core.users_table.buyer_accepts_marketing
IS 'Whether the customer of the last order accepts marketing';
COMMENT ON COLUMN orders_core.users_table.first_order_timestamp IS 'Instant when the first order was placed';
COMMENT ON COLUMN orders_core.users_table.first_order_product IS 'Name of the first order';
COMMENT ON COLUMN orders_core.users_table.last_order_timestamp IS 'Instant when the last order was placed';
COMMENT ON COLUMN orders_core.users_table.last_order_product IS 'Name of the last order';
COMMENT ON COLUMN orders_core.users_table.num_orders IS 'Number of orders, including test orders';
