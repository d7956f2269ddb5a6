#!/bin/sh
# Replace a service's containers without a gap: start as many new ones, wait until they are healthy, stop the old ones.
# Usage, where docker-compose.yml is: deploy/compose/roll.sh web
set -eu
service=$1
old=$(docker compose ps --quiet "$service")
count=$(echo "$old" | wc -l)

docker compose up --detach --no-build --no-deps --no-recreate --wait --scale "$service=$((count * 2))" "$service"
# A stopping container finishes its work; the proxy and the queues send it nothing new.
echo "$old" | xargs docker stop --time 60 > /dev/null
echo "$old" | xargs docker rm > /dev/null
docker compose up --detach --no-build --no-deps --no-recreate --wait --scale "$service=$count" "$service"
