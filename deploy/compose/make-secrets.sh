#!/bin/sh
# Create random secrets for a new installation: one folder per reader, owned by the user that reads them.
# Existing files are kept. To use your own secrets, create files with these names beforehand.
set -eu
umask 077

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# keep FILE OWNER TEXT
keep() {
    [ -s "$1" ] || printf '%s\n' "$3" > "$1"
    chown "$2" "$1"
    chmod 0400 "$1"
}

keep /secrets/postgres/password 999:999 "$(random)"
keep /secrets/valkey/password 999:999 "$(random)"
keep /secrets/valkey/password.conf 999:999 "requirepass $(cat /secrets/valkey/password)"
# Of the rooms' cluster, if there is one: its nodes log in to each other.
keep /secrets/valkey/cluster.conf 999:999 "primaryauth $(cat /secrets/valkey/password)"
keep /secrets/app/rooms_redis_url 10001:10001 \
    "valkey-cluster://:$(cat /secrets/valkey/password)@valkey-1:6379,valkey-2:6379,valkey-3:6379"
keep /secrets/app/signing_key 10001:10001 "$(random)"
keep /secrets/postgres/application_password 999:999 "$(random)"
keep /secrets/migration/database_url 10001:10001 \
    "postgresql+psycopg://dashboard:$(cat /secrets/postgres/password)@postgres:5432/dashboard"
keep /secrets/app/application_database_url 10001:10001 \
    "postgresql+psycopg://dashboard_app:$(cat /secrets/postgres/application_password)@postgres:5432/dashboard"
keep /secrets/app/redis_url 10001:10001 "redis://:$(cat /secrets/valkey/password)@valkey:6379/0"
# Earlier releases kept the owner's database URL and the payout secret where every service could read them.
rm -f /secrets/app/database_url
[ ! -s /secrets/app/payout_secret ] || mv /secrets/app/payout_secret /secrets/payout/payout_secret
keep /secrets/payout/payout_secret 10001:10001 "$(random)"
