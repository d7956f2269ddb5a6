#!/bin/sh
# Run by the owner of the tables after each migration: `docker compose run --rm roles`. May run any number of times.
set -eu
PGPASSWORD=$(cat /run/secrets/postgres/password)
export PGPASSWORD
psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --single-transaction --file "$(dirname "$0")/roles.sql"
# By standard input: arguments are shown to every process.
printf "ALTER ROLE dashboard_app LOGIN PASSWORD '%s';\n" "$(cat /run/secrets/postgres/application_password)" |
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1
