-- grain: one department
-- key: department_id
-- sources: none
-- write disposition: merge by (department_id)
-- access: loader
CREATE TABLE IF NOT EXISTS totesys_core.department (
    department_id integer NOT NULL,
    department_name text,
    location text,
    CONSTRAINT department_department_id_pk PRIMARY KEY (department_id)
);

COMMENT ON TABLE totesys_core.department IS 'Departments';
COMMENT ON COLUMN totesys_core.department.department_id IS 'Identifier of the department';
COMMENT ON COLUMN totesys_core.department.department_name IS 'Name of the department';
COMMENT ON COLUMN totesys_core.department.location IS 'Location of the department';
