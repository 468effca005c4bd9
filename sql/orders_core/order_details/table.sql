-- grain: one line item of the latest version of an order that is no test
-- key: transaction_id, position
-- sources: none
-- write disposition: merge
CREATE TABLE IF NOT EXISTS orders_core.order_details (
    line_item_id bigint,
    transaction_id bigint NOT NULL,
    position integer NOT NULL,
    product_id bigint,
    variant_id bigint,
    quantity integer,
    CONSTRAINT order_details_transaction_id_position_pk PRIMARY KEY (transaction_id, position)
);

COMMENT ON TABLE orders_core.order_details IS 'What was ordered: the line items of orders_core.orders_table';
COMMENT ON COLUMN orders_core.order_details.transaction_id IS 'The order; see orders_core.orders_table';
COMMENT ON COLUMN orders_core.order_details.position IS 'Place among the line items of the order, from 1';
COMMENT ON COLUMN orders_core.order_details.quantity IS 'How many pieces';
