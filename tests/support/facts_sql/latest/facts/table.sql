-- sources: none
CREATE TABLE IF NOT EXISTS latest.facts (
    code text CONSTRAINT facts_code_pk PRIMARY KEY, month date, amount bigint
);
