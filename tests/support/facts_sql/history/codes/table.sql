-- sources: none
-- key: code, valid_from
-- write disposition: history by (code)
CREATE TABLE IF NOT EXISTS history.codes (
    code text NOT NULL,
    amount bigint,
    valid_from date NOT NULL,
    valid_to date,
    CONSTRAINT codes_code_valid_from_uk UNIQUE (code, valid_from)
);
