-- question: Which ten countries had the most events in 2021?
SELECT
    country,
    sum(event_count) AS event_count
FROM events_marts.event_counts_by_country
WHERE month BETWEEN '2021-01-01' AND '2021-12-01'
GROUP BY country
ORDER BY event_count DESC, country ASC
LIMIT 10;

-- question: How did the number of events change from month to month?
SELECT
    month,
    sum(event_count) AS event_count,
    sum(event_count) - lag(sum(event_count)) OVER (ORDER BY month) AS difference
FROM events_marts.event_counts_by_date
GROUP BY month
ORDER BY month;
