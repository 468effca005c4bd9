-- grain: one day of the calendar
-- key: calendar_dt
-- sources: none
-- write disposition: fill shared table; where it stands with rows of others it is read and never altered
CREATE TABLE IF NOT EXISTS if_common.dim_dates (
    calendar_dt date NOT NULL,
    year_num integer,
    month_of_the_year_num integer,
    day_of_the_month_num integer,
    day_of_the_week_num integer NOT NULL,
    working_day boolean NOT NULL,
    CONSTRAINT dim_dates_calendar_dt_pk PRIMARY KEY (calendar_dt)
);

COMMENT ON COLUMN if_common.dim_dates.calendar_dt IS 'The day';
COMMENT ON COLUMN if_common.dim_dates.year_num IS 'Its year';
COMMENT ON COLUMN if_common.dim_dates.month_of_the_year_num IS 'Its month, 1 to 12';
COMMENT ON COLUMN if_common.dim_dates.day_of_the_month_num IS 'Its day of the month, 1 to 31';
COMMENT ON COLUMN if_common.dim_dates.day_of_the_week_num IS 'Its day of the week, 1 = Monday to 7 = Sunday';
COMMENT ON COLUMN if_common.dim_dates.working_day
IS 'Whether it is a working day; weekends and public holidays are none';
