-- grain: one day of the calendar
-- key: calendar_dt
-- sources: none
-- write disposition: fill shared table; if another owner wrote rows, the table is only read
CREATE TABLE IF NOT EXISTS if_common.dim_dates (
    calendar_dt date NOT NULL,
    year_num integer,
    month_of_the_year_num integer,
    day_of_the_month_num integer,
    day_of_the_week_num integer NOT NULL,
    working_day boolean NOT NULL,
    CONSTRAINT dim_dates_calendar_dt_pk PRIMARY KEY (calendar_dt)
);

COMMENT ON TABLE if_common.dim_dates IS 'Calendar with working days';
COMMENT ON COLUMN if_common.dim_dates.calendar_dt IS 'Day';
COMMENT ON COLUMN if_common.dim_dates.year_num IS 'Year of the day';
COMMENT ON COLUMN if_common.dim_dates.month_of_the_year_num IS 'Month of the day, 1 to 12';
COMMENT ON COLUMN if_common.dim_dates.day_of_the_month_num IS 'Day of the month, 1 to 31';
COMMENT ON COLUMN if_common.dim_dates.day_of_the_week_num IS 'Day of the week, 1 = Monday to 7 = Sunday';
COMMENT ON COLUMN if_common.dim_dates.working_day
IS 'Whether the day is a working day; weekends and public holidays are not';
