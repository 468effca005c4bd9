-- grain: one day
-- key: date_id
-- sources: none
-- write disposition: append
CREATE TABLE IF NOT EXISTS totesys_warehouse.dim_date (
    date_id date NOT NULL,
    year integer NOT NULL,
    month integer NOT NULL,
    day integer NOT NULL,
    day_of_week integer NOT NULL,
    day_name text NOT NULL,
    month_name text NOT NULL,
    quarter integer NOT NULL,
    CONSTRAINT dim_date_date_id_pk PRIMARY KEY (date_id)
);

COMMENT ON TABLE totesys_warehouse.dim_date IS 'Calendar from the first to the last date that a fact uses';
COMMENT ON COLUMN totesys_warehouse.dim_date.date_id IS 'Day';
COMMENT ON COLUMN totesys_warehouse.dim_date.year IS 'Year of the day';
COMMENT ON COLUMN totesys_warehouse.dim_date.month IS 'Month of the day, 1 to 12';
COMMENT ON COLUMN totesys_warehouse.dim_date.day IS 'Day of the month, 1 to 31';
COMMENT ON COLUMN totesys_warehouse.dim_date.day_of_week IS 'Day of the week, 1 = Monday to 7 = Sunday';
COMMENT ON COLUMN totesys_warehouse.dim_date.day_name IS 'English name of the day of the week';
COMMENT ON COLUMN totesys_warehouse.dim_date.month_name IS 'English name of the month';
COMMENT ON COLUMN totesys_warehouse.dim_date.quarter IS 'Quarter of the day, 1 to 4';
