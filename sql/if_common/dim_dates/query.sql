-- grain: one day of the calendar
-- key: calendar_dt
-- parameters: first_day (date), last_day (date), holidays (list of dates, the country's public holidays)
-- sources: commerce_staging.dim_dates
-- write disposition: fill shared table
-- rules: a delivered calendar is used unchanged (rejected: adding computed days to it, which would mix two calendars);
--   without a delivered calendar, every day from first_day to last_day is computed; Saturdays, Sundays and public
--   holidays are not working days;
--   rows that another owner wrote stay, even if rows were delivered (rejected: replacing them; adding to them)
WITH computed AS (
    SELECT days.calendar_dt::date AS calendar_dt
    FROM generate_series(%(first_day)s::date, %(last_day)s::date, interval '1 day') AS days (calendar_dt)
    WHERE NOT EXISTS (SELECT 1 FROM commerce_staging.dim_dates)
)

SELECT
    calendar_dt,
    year_num,
    month_of_the_year_num,
    day_of_the_month_num,
    day_of_the_week_num,
    working_day
FROM commerce_staging.dim_dates
UNION ALL
SELECT
    calendar_dt,
    extract(YEAR FROM calendar_dt)::integer AS year_num,
    extract(MONTH FROM calendar_dt)::integer AS month_of_the_year_num,
    extract(DAY FROM calendar_dt)::integer AS day_of_the_month_num,
    extract(ISODOW FROM calendar_dt)::integer AS day_of_the_week_num,
    extract(ISODOW FROM calendar_dt) < 6 AND calendar_dt <> all(%(holidays)s::date[]) AS working_day
FROM computed
