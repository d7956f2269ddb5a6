#!/bin/sh
# An agent that reports its progress, with curl alone.
#
#   export DASHBOARD_URL=http://127.0.0.1:5000
#   export DASHBOARD_TOKEN=$(.venv/bin/dashboard token --role agent --sub scanner-7 --protocol P1)
#   sh docs/examples/agent/agent.sh scanner-7 P1 "Fuzzing of Pool.sol"
#
# An admin must have created the agent and the protocol (docs/examples/README.md shows how), and the token's `sub` must
# be the agent's id.
set -eu
agent_id=$1 protocol_id=$2 task=$3

report() { # the members of the report after protocolId and task
  curl --silent --show-error --fail-with-body --max-time 10 --retry 5 --retry-connrefused \
    --header "Authorization: Bearer $DASHBOARD_TOKEN" \
    --header "Content-Type: application/json" \
    --data "{\"protocolId\": \"$protocol_id\", \"task\": \"$task\", $1}" \
    "$DASHBOARD_URL/api/v1/agents/$agent_id/progress"
  echo
}

for progress in 0 25 50 75; do
  report "\"progress\": $progress"
  sleep 0.2 # the work itself
done
report '"status": "COMPLETED"'
