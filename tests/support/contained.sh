#!/usr/bin/env bash
# Runs one test program in PID, mount and network namespaces of its own, so that nothing of it
# can outlive it: no process, no network namespace, no mount; and no test can reach the internet.
# Says FAIL when the program itself left processes behind. Without the right to make namespaces
# (not root), it runs the program in a process group and ends that.
set -u

if [ "${TURNPIKE_CONTAINED:-}" != 1 ]; then
  if unshare --fork --pid --mount-proc --net true 2>/dev/null; then
    export TURNPIKE_CONTAINED=1
    exec unshare --fork --pid --mount-proc --net --kill-child=KILL bash "$0" "$@"
  fi
  set -m
  "$@" &
  child=$!
  trap 'kill -KILL -- -$child 2>/dev/null' EXIT TERM INT
  wait "$child"
  exit
fi

ip link set lo up
# A default route as every host has one; it ends in a link that nobody listens on.
ip link add uplink0 type veth peer name nowhere0
ip addr add 203.0.113.200/24 dev uplink0
ip link set uplink0 up && ip link set nowhere0 up
ip route add default via 203.0.113.1
# Names of network namespaces are mounts: private ones vanish with us, and never meet another run's.
mkdir -p /run/netns && mount -t tmpfs -o mode=755 tmpfs /run/netns
unset TURNPIKE_CONTAINED
export TURNPIKE_IN_CONTAINER=1

"$@" &
child=$!
trap 'kill -TERM $child 2>/dev/null' TERM INT
wait "$child"
code=$?

# Command lines of what still runs in our PID namespace besides this script.
left() {
  local pid line
  for pid in /proc/[0-9]*; do
    pid=${pid#/proc/}
    [ "$pid" = $$ ] || [ "$pid" = "$BASHPID" ] && continue
    line=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")
    [ -n "$line" ] && printf '[%s] ' "$line"
  done
}
for _ in $(seq 40); do
  remaining=$(left)
  [ -n "$remaining" ] || break
  sleep 0.05
done
[ -n "$remaining" ] && echo "FAIL leaves_no_process $remaining"
exit "$code"
