-- question: Which days of 2021 were public holidays on a weekday?
SELECT calendar_dt
FROM if_common.dim_dates
WHERE year_num = 2021 AND NOT working_day AND day_of_the_week_num BETWEEN 1 AND 5
ORDER BY calendar_dt;
