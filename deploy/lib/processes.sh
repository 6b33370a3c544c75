# Processes that this deployment started, and nothing else. Sourced; not run.
# A process is known by its id and its start time, so that a recycled id is never signalled.
# The records lie where only root can write: a service user cannot make root signal something.
# shellcheck shell=bash

records=/run/turnpike-up       # root's: NAME.pid, and what else must be undone
logs=/var/log/turnpike

started_at() { # start time of a process in clock ticks; empty when there is none
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
  stat=${stat##*) } # the name in brackets may hold blanks
  # shellcheck disable=SC2086
  set -- $stat
  [ "$1" = Z ] || echo "${20}"
}

# process_id NAME: id of the running process of that name; empty when it does not run.
process_id() {
  local pid='' began=''
  { read -r pid began <"$records/$1.pid"; } 2>/dev/null
  [ -n "$pid" ] && [ "$(started_at "$pid")" = "$began" ] && echo "$pid"
  return 0
}

# spawn NAME COMMAND...: starts a process of its own session, output to $logs/NAME.log.
spawn() {
  local name=$1 pid
  shift
  mkdir -p "$logs"
  [ ! -s "$logs/$name.log" ] || mv -f "$logs/$name.log" "$logs/$name.log.1"
  (
    umask 027
    ulimit -c 0
    ulimit -n 1048576 2>/dev/null || ulimit -n "$(ulimit -Hn)"
    cd /
    exec 9>&- # the lock of deploy/up is not theirs
    exec setsid "$@" </dev/null >"$logs/$name.log" 2>&1
  ) &
  pid=$!
  disown "$pid"
  echo "$pid $(started_at "$pid")" >"$records/$name.pid"
}

# as_user USER GROUPS COMMAND...: sets `words` to a command line that runs without any privilege
# of root. The first of GROUPS (separated by commas) is the primary one.
as_user() {
  local user=$1 groups=$2
  shift 2
  words=(setpriv "--reuid=$user" "--regid=${groups%%,*}" "--groups=$groups" --inh-caps=-all
    --bounding-set=-all --no-new-privs --reset-env "$@")
}

# wait_until SECONDS COMMAND...: polls until the command succeeds.
wait_until() {
  local tries=$(($1 * 20))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $((tries--)) -gt 0 ] || return 1
    sleep 0.05
  done
}

gone() { [ -z "$(process_id "$1")" ]; }

# stop NAME SECONDS: asks it to end, waits, then makes it. Its whole session goes with it.
stop() {
  local name=$1 seconds=$2 pid
  pid=$(process_id "$name")
  if [ -n "$pid" ]; then
    kill -TERM "$pid" 2>/dev/null
    if ! wait_until "$seconds" gone "$name"; then
      kill -KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null
      wait_until 5 gone "$name"
    fi
  fi
  rm -f "$records/$name.pid"
}

# last_words NAME: the end of its log, indented.
last_words() { tail -n 8 "$logs/$1.log" 2>/dev/null | sed 's/^/     | /'; }
