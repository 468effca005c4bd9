-- grain: one design of a bag
-- key: design_id
-- sources: none
-- write disposition: merge by (design_id)
CREATE TABLE IF NOT EXISTS totesys_warehouse.dim_design (
    design_id integer NOT NULL,
    design_name text,
    file_location text,
    file_name text,
    CONSTRAINT dim_design_design_id_pk PRIMARY KEY (design_id)
);

COMMENT ON TABLE totesys_warehouse.dim_design IS 'Designs of bags';
COMMENT ON COLUMN totesys_warehouse.dim_design.design_id IS 'Identifier of the design';
COMMENT ON COLUMN totesys_warehouse.dim_design.design_name IS 'Name of the design';
COMMENT ON COLUMN totesys_warehouse.dim_design.file_location IS 'Folder of the design''s file';
COMMENT ON COLUMN totesys_warehouse.dim_design.file_name IS 'Name of the design''s file';
