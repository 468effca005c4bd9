-- from: commerce_staging.dim_dates
SELECT
    dim_dates.tableoid,
    dim_dates.ctid,
    dim_dates AS source_row
FROM commerce_staging.dim_dates
WHERE dim_dates.calendar_dt = %(calendar_dt)s;

-- computed: without a delivered calendar, the query computes every day, and a library names the public holidays.
