-- grain: one staff member and month with orders
-- key: user_id, month
-- sources: none
-- write disposition: merge
CREATE TABLE IF NOT EXISTS orders_core.user_months (
    user_id bigint NOT NULL,
    month date NOT NULL,
    num_orders bigint NOT NULL,
    CONSTRAINT user_months_user_id_month_pk PRIMARY KEY (user_id, month),
    CONSTRAINT user_months_num_orders_ck CHECK (num_orders > 0)
);

COMMENT ON TABLE orders_core.user_months
IS 'Number of orders of each staff member and month; orders_core.users_table adds the months up';
COMMENT ON COLUMN orders_core.user_months.user_id IS 'Identifier of the staff member';
COMMENT ON COLUMN orders_core.user_months.month IS 'First day of the month in UTC in which the orders were placed';
COMMENT ON COLUMN orders_core.user_months.num_orders IS 'Number of orders of the month, including test orders';
