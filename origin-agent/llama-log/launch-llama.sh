#!/usr/bin/env bash
# Becomes a llama-server when its turn comes, with its output behind the log filter. PM2 knows it by this process's own
# id, before and after: signals reach llama-server itself, and nothing of ours stands between the two.
#
#   launch-llama.sh PORT PROGRAM [ARGUMENT…]
#
# ISHA_NODE       the Node that runs the filter
# ISHA_GPU_CHECK  a command that succeeds once the GPU can be used; empty where there is none
set -u

# One model loads at a time; whoever waits for a hung one waits this long, in seconds. 8B from a disk takes up to 40.
load_limit=60

port=$1
shift
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd) || exit 1

say() { printf 'launch: %s\n' "$*"; }

# llama-server reads its flags from these too; what it does is said in its command line alone. PM2's channel is no
# business of the programs started here.
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

# Holds the turn (file descriptor 9) until the server is ready, gone, or has taken too long.
hold_turn() {
  local until=$((SECONDS + load_limit))
  while ((SECONDS < until)) && kill -0 "$1" 2>/dev/null; do
    answers_health && break
    sleep 0.25
  done
}

for needed in "$1" "${ISHA_NODE:?}"; do
  [[ -x $needed ]] || { say "$needed can't be run: it isn't there or isn't a program"; exit 1; }
done

# Without the GPU a server would load into the machine's own memory and answer a hundred times slower.
waited=0
until gpu_answers; do
  ((waited % 15 == 0)) && say "waiting for the GPU: $ISHA_GPU_CHECK"
  waited=$((waited + 1))
  sleep 2
done

# The turn is a lock on this file: the kernel gives it back whatever happens to its holder.
if command -v flock >/dev/null; then
  exec 9<"${BASH_SOURCE[0]}"
  flock --nonblock 9 || { say "waiting while another server loads"; flock 9; }
  (hold_turn $$ </dev/null >/dev/null 2>&1 3>&- &)
  exec 9<&-
fi

# The filter is not the server's child: stopping a server doesn't wait for it, and it ends with the server's output.
exec 7> >(exec 4<&0; (exec "$ISHA_NODE" "$here/filter.ts" "$@" <&4 3>&- 4<&-) &)
wait "${!-}" 2>/dev/null

# A log that can't be written must not end the server.
trap '' PIPE
exec "$@" </dev/null >&7 2>&1 7>&-
