#!/usr/bin/env bash
# Becomes a llama-server when its turn comes, with its output piped through the log filter. The pid stays the same, so
# PM2's signals reach llama-server directly.
#
#   launch-llama.sh PORT PROGRAM [ARGUMENT…]
#
# ISHA_NODE       the Node that runs the filter
# ISHA_GPU_CHECK  a command that succeeds once the GPU can be used; empty without a GPU
set -u

# One model loads at a time. If it hangs, the next one starts after this time, in seconds. 8B from a disk takes up to 40.
load_limit=60

port=$1
shift
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd) || exit 1

log() { printf 'launch: %s\n' "$*"; }

# llama-server also reads flags from LLAMA_ variables, but its command line alone must define them. PM2's channel is not
# for the programs started here.
unset -v "${!LLAMA_@}" NODE_CHANNEL_FD NODE_CHANNEL_SERIALIZATION_MODE

gpu_answers() {
  [[ -z ${ISHA_GPU_CHECK-} ]] && return
  # shellcheck disable=SC2086 # it is a command with its arguments
  timeout 10 $ISHA_GPU_CHECK >/dev/null 2>&1 </dev/null
}

answers_health() {
  local status=
  { printf 'GET /health HTTP/1.0\r\n\r\n' >&8 && IFS= read -r -t 2 status <&8; } 2>/dev/null 8<>"/dev/tcp/127.0.0.1/$port"
  [[ $status == "HTTP/1."[01]" 200"* ]]
}

# Keeps the turn (file descriptor 9) until the server is ready, has exited, or has reached the load limit.
keep_turn() {
  local until=$((SECONDS + load_limit))
  while ((SECONDS < until)) && kill -0 "$1" 2>/dev/null; do
    answers_health && break
    sleep 0.25
  done
}

for needed in "$1" "${ISHA_NODE:?}"; do
  [[ -x $needed ]] || { log "$needed can't be run: it doesn't exist or isn't executable"; exit 1; }
done

# Without the GPU a server would load into main memory and answer a hundred times slower.
waited=0
until gpu_answers; do
  ((waited % 15 == 0)) && log "waiting for the GPU: $ISHA_GPU_CHECK"
  waited=$((waited + 1))
  sleep 2
done

# The turn is a lock on this file: the kernel releases it however its holder ends.
if command -v flock >/dev/null; then
  exec 9<"${BASH_SOURCE[0]}"
  flock --nonblock 9 || { log "waiting while another server loads"; flock 9; }
  (keep_turn $$ </dev/null >/dev/null 2>&1 3>&- &)
  exec 9<&-
fi

# The filter is not the server's child: stopping a server doesn't wait for it, and it ends with the server's output.
exec 7> >(exec 4<&0; (exec "$ISHA_NODE" "$here/filter.ts" "$@" <&4 3>&- 4<&-) &)
wait "${!-}" 2>/dev/null

# A log that can't be written must not end the server.
trap '' PIPE
exec "$@" </dev/null >&7 2>&1 7>&-
