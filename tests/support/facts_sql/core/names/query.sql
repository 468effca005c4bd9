-- key: code
-- sources: raw.names
-- write disposition: replace table
SELECT
    names.code,
    max(names.name) AS name
FROM raw.names
GROUP BY names.code
