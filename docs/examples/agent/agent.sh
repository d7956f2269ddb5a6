#!/bin/sh
# An agent that reports its progress; it needs only curl.
#
#   export DASHBOARD_URL=http://127.0.0.1:5000
#   export DASHBOARD_TOKEN=$(.venv/bin/dashboard token --role agent --sub scanner-7 --protocol P1)
#   sh docs/examples/agent/agent.sh scanner-7 P1 "Fuzzing of Pool.sol"
#
# An admin must have created the agent and the protocol (docs/examples/README.md shows how), and the token's `sub` must
# be the agent's id.
#
# All attempts of a report share an Idempotency-Key, so that a repeated COMPLETED does not close the next task of the
# queue. A RUNNING report may be lost, because the next one replaces it; COMPLETED is sent until the server has answered.
# A report that cannot be sent does not end the work.
set -eu
agent_id=$1 protocol_id=$2 task=$3
running_attempts=3 max_pause=30

report() { # arguments: maximum number of attempts (0: no limit), further members of the report as JSON
  body="{\"protocolId\": \"$protocol_id\", \"task\": \"$task\", $2}"
  key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  attempt=1 pause=1
  until attempt_once; do
    if [ "$attempt" -eq "$1" ]; then
      echo "a progress report was dropped: the server cannot be reached" >&2
      return
    fi
    sleep "$(at_random "$pause" "$wanted_pause")"
    attempt=$((attempt + 1)) pause=$((pause * 2 < max_pause ? pause * 2 : max_pause))
  done
}

attempt_once() { # true if the server has accepted the report; exits if it refuses it permanently
  answer=$(curl --silent --show-error --include --max-time 10 \
    --header "Authorization: Bearer $DASHBOARD_TOKEN" \
    --header "Content-Type: application/json" \
    --header "Idempotency-Key: $key" \
    --data "$body" "$DASHBOARD_URL/api/v1/agents/$agent_id/progress" | tr -d '\r')
  status=$(printf '%s\n' "$answer" | sed -n 's|^HTTP/[^ ]* \([0-9]*\).*|\1|p' | tail -n 1)
  wanted_pause=$(printf '%s\n' "$answer" | sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9][0-9]*\)$/\1/p' | tail -n 1)
  case $status:$answer in
    2*) printf '%s\n' "$answer" | tail -n 1 ;;
    :* | 408:* | 425:* | 429:* | 5*) return 1 ;; # no response, or a temporary error
    409:*IDEMPOTENCY_KEY_IN_USE*) return 1 ;; # the first attempt is still in progress
    *)
      printf 'the report was refused: %s\n' "$(printf '%s\n' "$answer" | tail -n 1)" >&2
      exit 1
      ;;
  esac
}

at_random() { # 50 to 100 % of the pause, so that many agents do not retry at the same moment
  seed=$(od -An -N3 -tu4 /dev/urandom)
  awk "BEGIN { srand($seed); pause = $1 * (0.5 + rand() / 2); wanted = ${2:-0}; if (pause < wanted) pause = wanted; print pause }"
}

for progress in 0 25 50 75; do
  report "$running_attempts" "\"progress\": $progress"
  sleep 0.2 # the work itself
done
report 0 '"status": "COMPLETED"'
