#!/bin/sh
# On the first start of the compose file's Postgres: one role and one database for the flows, one for the Prefect server. Each owns its
# own and cannot connect to the other's. Passwords come as psql variables, which quotes them; none is printed.
set -eu

psql --set ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname postgres \
    --set warehouse="$WAREHOUSE_PASSWORD" --set prefect="$PREFECT_DB_PASSWORD" <<'SQL'
create role tally login password :'warehouse';
create database tally owner tally;
create role prefect login password :'prefect';
create database prefect owner prefect;
revoke connect, temporary on database tally, prefect from public;
SQL
