-- grain: one member of the list that was delivered last
-- key: name, valid_from
-- parameters: none
-- sources: crm_staging.members
-- write disposition: history by (name)
-- rules: none
SELECT
    members.name,
    members.seen_date
FROM crm_staging.members
