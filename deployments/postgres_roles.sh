#!/bin/sh
# Postgres runs this script on its first start in docker-compose.yaml. The script creates a role and a database for the
# flows, and another role and database for the Prefect server. Neither role can connect to the other's database.
# psql variables quote the passwords. The script prints no password.
set -eu

psql --set ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname postgres \
    --set warehouse="$WAREHOUSE_PASSWORD" --set prefect="$PREFECT_DB_PASSWORD" <<'SQL'
create role tally login password :'warehouse';
create database tally owner tally;
create role prefect login password :'prefect';
create database prefect owner prefect;
revoke connect, temporary on database tally, prefect from public;
SQL
