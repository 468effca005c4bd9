-- grain: one version of a member
-- key: name, valid_from
-- sources: none
-- write disposition: history by (name)
CREATE TABLE IF NOT EXISTS crm_marts.members (
    name text NOT NULL,
    seen_date date,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz,
    CONSTRAINT members_name_valid_from_uk UNIQUE (name, valid_from)
);
