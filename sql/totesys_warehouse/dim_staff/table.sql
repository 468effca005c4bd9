-- grain: one staff member with the department
-- key: staff_id
-- sources: none
-- write disposition: merge by (staff_id)
CREATE TABLE IF NOT EXISTS totesys_warehouse.dim_staff (
    staff_id integer NOT NULL,
    first_name text,
    last_name text,
    department_name text,
    location text,
    email_address text,
    CONSTRAINT dim_staff_staff_id_pk PRIMARY KEY (staff_id)
);

COMMENT ON TABLE totesys_warehouse.dim_staff IS 'Staff members with their departments';
COMMENT ON COLUMN totesys_warehouse.dim_staff.staff_id IS 'Identifier of the staff member';
COMMENT ON COLUMN totesys_warehouse.dim_staff.first_name IS 'First name';
COMMENT ON COLUMN totesys_warehouse.dim_staff.last_name IS 'Last name';
COMMENT ON COLUMN totesys_warehouse.dim_staff.department_name IS 'Name of the department';
COMMENT ON COLUMN totesys_warehouse.dim_staff.location IS 'Location of the department';
COMMENT ON COLUMN totesys_warehouse.dim_staff.email_address IS 'E-mail address';
