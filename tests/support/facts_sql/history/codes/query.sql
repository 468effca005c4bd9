-- key: code, valid_from
-- parameters: month
-- sources: raw.facts
-- write disposition: history by (code)
SELECT
    facts.code,
    max(facts.amount)::bigint AS amount
FROM raw.facts
WHERE facts.month = %(month)s
GROUP BY facts.code
