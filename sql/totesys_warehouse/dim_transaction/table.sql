-- grain: one transaction: a sale or a purchase
-- key: transaction_id
-- sources: none
-- write disposition: merge by (transaction_id)
CREATE TABLE IF NOT EXISTS totesys_warehouse.dim_transaction (
    transaction_id integer NOT NULL,
    transaction_type text,
    sales_order_id integer,
    purchase_order_id integer,
    CONSTRAINT dim_transaction_transaction_id_pk PRIMARY KEY (transaction_id)
);

COMMENT ON TABLE totesys_warehouse.dim_transaction IS 'Transactions: sales and purchases';
COMMENT ON COLUMN totesys_warehouse.dim_transaction.transaction_id IS 'Identifier of the transaction';
COMMENT ON COLUMN totesys_warehouse.dim_transaction.transaction_type IS 'SALE or PURCHASE';
COMMENT ON COLUMN totesys_warehouse.dim_transaction.sales_order_id IS 'Sales order of a sale';
COMMENT ON COLUMN totesys_warehouse.dim_transaction.purchase_order_id IS 'Purchase order of a purchase';
