-- key: fact_count
-- sources: raw.facts, raw.names
-- write disposition: replace table
SELECT
    count(*) AS fact_count,
    sum(facts.amount) AS amount,
    (SELECT count(*) FROM raw.names) AS name_count
FROM raw.facts
