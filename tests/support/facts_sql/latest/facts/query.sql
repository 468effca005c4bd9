-- key: code
-- parameters: month
-- sources: raw.facts
-- write disposition: merge by (code)
SELECT DISTINCT ON (facts.code)
    facts.code,
    facts.month,
    facts.amount::bigint AS amount
FROM raw.facts
INNER JOIN affected_facts ON facts.code = affected_facts.code
ORDER BY facts.code ASC, facts.month DESC, facts.amount DESC NULLS LAST
