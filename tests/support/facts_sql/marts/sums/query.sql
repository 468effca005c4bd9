-- key: month, name
-- parameters: month
-- sources: raw.facts, core.names
-- write disposition: replace partition (month)
SELECT
    facts.month,
    coalesce(names.name, facts.code) AS name,
    sum(facts.amount) AS amount,
    count(*) AS fact_count
FROM raw.facts
LEFT JOIN core.names ON facts.code = names.code
WHERE facts.month = %(month)s
GROUP BY facts.month, coalesce(names.name, facts.code)
