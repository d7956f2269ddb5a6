#!/bin/sh
# Runs roles.sql as the owner of the tables and sets the role's password: `docker compose run --rm roles`.
# Run it after each migration; it may run any number of times.
set -eu
PGPASSWORD=$(cat /run/secrets/postgres/password)
export PGPASSWORD
psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --single-transaction --file "$(dirname "$0")/roles.sql"
# Through standard input, because arguments are visible to every process.
printf "ALTER ROLE dashboard_app LOGIN PASSWORD '%s';\n" "$(cat /run/secrets/postgres/application_password)" |
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1
