-- computed: the staging table holds only the last delivery of the list
-- from: crm_staging.members
SELECT
    members.tableoid,
    members.ctid,
    members AS source_row
FROM crm_staging.members
WHERE members.name = %(name)s AND %(valid_to)s IS NULL;
