#!/bin/sh
# Replace all containers of services without a gap: start as many new ones, wait until they are healthy, stop the old ones.
# Usage, where docker-compose.yml is: deploy/compose/roll.sh SERVICE…
set -eu
running=$(docker compose ps --format '{{.ID}} {{.Service}}' "$@")
scale=""
for service; do
    count=$(echo "$running" | grep -c " $service\$") || { echo "no container of $service is running" >&2; exit 1; }
    scale="$scale --scale $service=$((count * 2))"
done
old=$(echo "$running" | cut -d ' ' -f 1)

# shellcheck disable=SC2086 # several options
docker compose up --detach --no-build --no-deps --no-recreate --wait $scale "$@"
# A stopping container finishes its work; the proxy and the queues send it nothing new.
echo "$old" | xargs docker stop --time 60 > /dev/null
for container in $old; do
    code=$(docker inspect --format '{{.State.ExitCode}}' "$container")
    [ "$code" = 0 ] || { echo "$container did not stop gracefully ($code); its last lines:"; docker logs --tail 40 "$container" 2>&1; } >&2
done
echo "$old" | xargs docker rm > /dev/null
