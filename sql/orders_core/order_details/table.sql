-- grain: one line item of the current version of an order that is not a test
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

COMMENT ON TABLE orders_core.order_details IS 'Line items of the orders in orders_core.orders_table';
COMMENT ON COLUMN orders_core.order_details.line_item_id IS 'Identifier of the line item as delivered; it may repeat';
COMMENT ON COLUMN orders_core.order_details.transaction_id IS 'Order of the line item; see orders_core.orders_table';
COMMENT ON COLUMN orders_core.order_details.position IS 'Position of the line item in the order, from 1';
COMMENT ON COLUMN orders_core.order_details.product_id IS 'Product';
COMMENT ON COLUMN orders_core.order_details.variant_id IS 'Variant of the product';
COMMENT ON COLUMN orders_core.order_details.quantity IS 'Number of pieces';
