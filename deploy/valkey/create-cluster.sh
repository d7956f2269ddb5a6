#!/bin/sh
# Make a cluster of the nodes named in $NODES: the first half are primaries, the others their replicas. If there is one,
# make the nodes known to each other again, because containers get new addresses when they are created anew.
set -eu
REDISCLI_AUTH="$(cat /run/secrets/valkey/password)"
export REDISCLI_AUTH

address() { getent hosts "$1" | awk '{print $1; exit}'; }

addresses=""
for node in $NODES; do
    until valkey-cli -h "$node" ping 2>/dev/null | grep -q PONG; do sleep 1; done
    addresses="$addresses $(address "$node"):6379"
done
first="${NODES%% *}"
if valkey-cli -h "$first" cluster info | grep -q '^cluster_slots_assigned:0'; then
    # shellcheck disable=SC2086 # a list
    valkey-cli --cluster create $addresses --cluster-replicas 1 --cluster-yes
else
    for node in $NODES; do valkey-cli -h "$first" cluster meet "$(address "$node")" 6379; done
fi
until valkey-cli -h "$first" cluster info | grep -q '^cluster_state:ok'; do sleep 1; done
