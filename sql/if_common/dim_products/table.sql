-- grain: one product
-- key: product_id
-- sources: none
-- write disposition: fill shared table; if another owner wrote rows, the table is only read
CREATE TABLE IF NOT EXISTS if_common.dim_products (
    product_id integer NOT NULL,
    product_category text,
    product_name text,
    CONSTRAINT dim_products_product_id_pk PRIMARY KEY (product_id)
);

COMMENT ON TABLE if_common.dim_products IS 'Products of the shop';
COMMENT ON COLUMN if_common.dim_products.product_id IS 'Identifier of the product';
COMMENT ON COLUMN if_common.dim_products.product_category IS 'Category of the product';
COMMENT ON COLUMN if_common.dim_products.product_name IS 'Name of the product';
