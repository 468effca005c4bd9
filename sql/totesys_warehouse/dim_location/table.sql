-- grain: one address
-- key: location_id
-- sources: none
-- write disposition: merge by (location_id)
CREATE TABLE IF NOT EXISTS totesys_warehouse.dim_location (
    location_id integer NOT NULL,
    address_line_1 text,
    address_line_2 text,
    district text,
    city text,
    postal_code text,
    country text,
    phone text,
    CONSTRAINT dim_location_location_id_pk PRIMARY KEY (location_id)
);

COMMENT ON TABLE totesys_warehouse.dim_location IS 'Addresses';
COMMENT ON COLUMN totesys_warehouse.dim_location.location_id IS 'Identifier of the address in the source';
COMMENT ON COLUMN totesys_warehouse.dim_location.address_line_1 IS 'First line';
COMMENT ON COLUMN totesys_warehouse.dim_location.address_line_2 IS 'Second line';
COMMENT ON COLUMN totesys_warehouse.dim_location.district IS 'District';
COMMENT ON COLUMN totesys_warehouse.dim_location.city IS 'City';
COMMENT ON COLUMN totesys_warehouse.dim_location.postal_code IS 'Postal code';
COMMENT ON COLUMN totesys_warehouse.dim_location.country IS 'Country';
COMMENT ON COLUMN totesys_warehouse.dim_location.phone IS 'Telephone number';
