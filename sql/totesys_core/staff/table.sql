-- grain: one staff member
-- key: staff_id
-- sources: none
-- write disposition: merge by (staff_id)
-- access: loader
CREATE TABLE IF NOT EXISTS totesys_core.staff (
    staff_id integer NOT NULL,
    first_name text,
    last_name text,
    department_id integer,
    email_address text,
    CONSTRAINT staff_staff_id_pk PRIMARY KEY (staff_id)
);

COMMENT ON TABLE totesys_core.staff IS 'Staff members';
COMMENT ON COLUMN totesys_core.staff.staff_id IS 'Identifier of the staff member';
COMMENT ON COLUMN totesys_core.staff.first_name IS 'First name';
COMMENT ON COLUMN totesys_core.staff.last_name IS 'Last name';
COMMENT ON COLUMN totesys_core.staff.department_id IS 'Department; see totesys_core.department';
COMMENT ON COLUMN totesys_core.staff.email_address IS 'E-mail address';
