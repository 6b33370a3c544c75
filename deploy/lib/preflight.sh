# What must be true of the host before anything is changed. Sourced; not run.
# shellcheck shell=bash

disk_mib_needed=2500 # packages 1100, build 900, and room to work

check_root() {
  [ "$(id -u)" = 0 ] || fail 'this needs root: it installs packages and makes service users.' \
    "run it as root: sudo $0 $*"
}

check_debian() {
  local id='' version=''
  if [ -r /etc/os-release ]; then
    # shellcheck disable=SC1091
    id=$(. /etc/os-release && echo "${ID:-}")
    # shellcheck disable=SC1091
    version=$(. /etc/os-release && echo "${VERSION_ID:-}")
  fi
  [ "$id-$version" = debian-12 ] || fail \
    "this host is ${id:-unknown} ${version:-}, but Turnpike is packaged and tested for Debian 12." \
    'use a Debian 12 host or container (docker run -it debian:12).'
}

# check_disk FOLDER: is there room for packages and a build?
check_disk() {
  local free
  free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
  [ "${free:-0}" -ge "$disk_mib_needed" ] || fail \
    "only ${free:-0} MiB are free below $1; installing and building takes $disk_mib_needed." \
    'make room or clone onto a larger disk.'
}

# Names what holds a port: owner_of_port PROTOCOL PORT ADDRESS... Empty when it is free.
# An address of all hosts (0.0.0.0, [::]) on the other side counts as the same.
owner_of_port() {
  local protocol=$1 port=$2 flag=t
  shift 2
  [ "$protocol" = udp ] && flag=u
  ss -Hln${flag}p "sport = :$port" 2>/dev/null | awk -v wanted=" $* " '
    { address = $4; sub(/:[0-9]+$/, "", address); gsub(/[][]/, "", address)
      sub(/%.*/, "", address) }
    address == "0.0.0.0" || address == "*" || address == "::" || index(wanted, " " address " ") {
      owner = "an unnamed process"
      if (match($0, /users:\(\("[^"]*",pid=[0-9]+/)) {
        owner = substr($0, RSTART + 9, RLENGTH - 9)
        sub(/",pid=/, " (process ", owner); owner = owner ")"
      }
      print owner; exit
    }'
}

# check_port NAME PROTOCOL PORT ADDRESS...: fails with the name of what holds the port.
check_port() {
  local name=$1 protocol=$2 port=$3 owner
  shift 3
  owner=$(owner_of_port "$protocol" "$port" "$@")
  [ -z "$owner" ] || fail \
    "port $port/$protocol, wanted for $name, is taken by $owner." \
    "stop it, or choose another port for $name in $config."
}
