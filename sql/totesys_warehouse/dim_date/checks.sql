-- fail: days are missing between the first and the last
SELECT
    count(*) AS day_count,
    min(date_id) AS first_day,
    max(date_id) AS last_day
FROM totesys_warehouse.dim_date
HAVING count(*) <> max(date_id) - min(date_id) + 1;

-- warn: the days span more than 200 years
SELECT
    min(date_id) AS first_day,
    max(date_id) AS last_day
FROM totesys_warehouse.dim_date
HAVING max(date_id) - min(date_id) > 73050;
