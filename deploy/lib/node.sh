# The node: its account, files, networks and processes. Sourced; not run.
# Everything lies in /var/lib/turnpike (kept), /run/turnpike and /run/turnpike-up (gone after down)
# and /var/log/turnpike. Nothing below the source tree is needed once it runs.
# shellcheck shell=bash

state=/var/lib/turnpike
programs=(control/turnpiked control/ctl/turnpikectl relay/holder/turnpike-holder)

# The networks in which the phones of the test call live: namespace, link, host's end, phone's end.
outside_network=(turnpike-outside tp-outside 198.51.100.193/30 198.51.100.194/30)
inside_network=(turnpike-inside tp-inside 10.213.77.1/30 10.213.77.2/30)
networks=0

ctl() { "$state/bin/turnpikectl" --socket "$api_socket" "$@"; }

# load_settings FILE: sets what settings.py prints.
load_settings() {
  local text
  text=$(/usr/bin/python3 "$lib/settings.py" "$1" 2>&1) || fail "$text" "correct $config."
  eval "$text"
}

# -- files --------------------------------------------------------------------------------------

prepare_node() {
  step 'Node'
  getent passwd turnpike >/dev/null || useradd --system --user-group --home-dir "$state" \
    --no-create-home --shell /usr/sbin/nologin --comment 'Turnpike media edge' turnpike ||
    fail 'the service user turnpike could not be made.' 'see useradd(8).'
  install -d -m 755 "$state" "$state/bin" "$logs"
  install -d -m 755 -o turnpike -g turnpike /run/turnpike
  [ -d /run/kamailio ] || touch "$records/kamailio-folder" # of the packaged service, else ours
  install -d -m 750 -o kamailio -g kamailio /run/kamailio
  local program
  for program in "${programs[@]}"; do
    cmp -s "$root/build/deploy/$program" "$state/bin/${program##*/}" ||
      install -m 755 "$root/build/deploy/$program" "$state/bin/${program##*/}"
  done
  provide_texts
  make_networks
  write_configuration
  provide_certificates
  provide_users
  write_sidecar
}

# Manual pages and completion, where an installation (deploy/systemd/install) has not put its own.
provide_texts() {
  [ ! -e /usr/local/sbin/turnpiked ] || return 0
  if "$lib/install_texts" "$state/bin/turnpiked" "$state/bin/turnpikectl" /usr/local/share \
    >"$state/texts" 2>"$records/texts.log"; then
    good 'manual pages and shell completion: man turnpikectl'
  else
    note "manual pages and completion cannot be installed here; see $records/texts.log"
  fi
}

remove_texts() {
  local path
  [ -e "$state/texts" ] || return 0
  if [ ! -e /usr/local/sbin/turnpiked ]; then
    while read -r path; do rm -f "$path"; done <"$state/texts"
  fi
  rm -f "$state/texts"
}

# Both phones get a network of their own where that is allowed; else they share our address.
make_networks() {
  local why
  load_settings "$config"
  if [[ $outside_address = *:* ]]; then
    note 'this host has IPv6 only: the phones of the test call use its own address'
  elif why=$(make_network "${outside_network[@]}" && make_network "${inside_network[@]}"); then
    networks=1
    good 'networks for the phones of the test call'
  else
    remove_networks
    note "no networks of their own for the phones of the test call: $why"
    note 'they use the address of this host; SIP of local processes counts as inside meanwhile'
  fi
}

make_network() {
  ip -n "$1" link show "$2-p" >/dev/null 2>&1 && return 0
  grep -qsx "$1 $2" "$records/networks" || echo "$1 $2" >>"$records/networks"
  /usr/bin/python3 "$lib/netns.py" create "$@" 2>&1
}

remove_networks() {
  local name link
  [ -e "$records/networks" ] || return 0
  while read -r name link; do
    /usr/bin/python3 "$lib/netns.py" remove "$name" "$link" >/dev/null 2>&1
  done <"$records/networks"
  rm -f "$records/networks"
}

# replace FILE OWNER MODE: standard input becomes the file, as a whole.
replace() {
  if ! { cat >"$1.part" && chown "$2" "$1.part" && chmod "$3" "$1.part" && mv -f "$1.part" "$1"; }
  then
    fail "$1 could not be written." 'see that the disk has room.'
  fi
}

# The copy that the processes read: theirs to read wherever the source tree lies.
write_configuration() {
  local found copy=$state/turnpike.toml
  if [ $networks = 1 ]; then
    replace "$copy" root:turnpike 640 <"$config"
  else
    /usr/bin/python3 "$lib/settings.py" "$config" --without-networks |
      replace "$copy" root:turnpike 640
  fi
  if ! found=$("$state/bin/turnpiked" --check --config "$copy" 2>&1); then
    fail "the configuration has mistakes:"$'\n'"${found//$copy/$config}" "correct $config."
  fi
  load_settings "$copy"
  good "configuration $config"
}

# Certificates below /var/lib/turnpike/pki are ours to make; others must be there.
provide_certificates() {
  local said
  if [ "$certificate_file" = "$state/pki/server.pem" ]; then
    said=$("$state/bin/turnpiked" --config "$state/turnpike.toml" --make-dev-certs "$state/pki" \
      2>&1) || fail "the certificates could not be made: $said" "removing $state/pki starts anew."
  fi
  good "certificate for ${domains// /, } and $outside_address, authority $trust_file"
}

provide_users() {
  rm -f "$records/test.password"
  [ "$users_file" = "$state/users" ] || return 0
  /usr/bin/python3 "$lib/users.py" "$state/passwords" "$users_file" "$domain" "$digest" \
    test "$own_user" || fail 'the passwords could not be made.' "see $state."
  sed -n 's/^test //p' "$state/passwords" | replace "$records/test.password" root:root 600
  good "users, passwords in $state/passwords"
}

write_sidecar() {
  local found
  found=$("$state/bin/turnpiked" --config "$state/turnpike.toml" --write-sidecar 2>&1) ||
    fail "the sidecar's files cannot be written:"$'\n'"$found" \
      "see to the files that it names, or name others in [sip] of $config."
  found=$(kamailio -c -f "$sidecar/kamailio.cfg" 2>&1) || {
    printf '%s\n' "$found" | tail -n 8 | sed 's/^/     | /' >&2
    fail 'Kamailio refuses its generated configuration.' 'report this with the lines above.'
  }
  good "sidecar configuration in $sidecar"
}

# -- processes ----------------------------------------------------------------------------------

# fingerprint: changes when a program or a file that the processes read changes.
fingerprint() {
  find "$state/bin" "$state/turnpike.toml" "$sidecar" "$state/pki" -type f \
    -not -name '*.key' -print0 | sort -z | xargs -0 sha256sum | sha256sum
}

running() { [ -n "$(process_id "$1")" ]; }

all_running() {
  { [ "$holder_wanted" = 0 ] || running holder; } && running turnpiked && running kamailio
}

start_node() {
  local now
  step 'Start'
  holder_wanted=0
  [ -z "$holder_socket" ] || holder_wanted=1
  now=$(fingerprint)
  if all_running && [ "$now" = "$(cat "$records/fingerprint" 2>/dev/null)" ]; then
    good 'turnpiked and kamailio run already'
    return
  fi
  if running turnpiked; then
    note 'program or configuration has changed: starting again; calls go on meanwhile'
    stop kamailio 5
    stop_turnpiked_at_once
  fi
  check_ports
  load_firewall
  [ "$holder_wanted" = 0 ] || running holder || start_holder
  start_turnpiked
  start_kamailio
  echo "$now" >"$records/fingerprint"
}

# await NAME SECONDS COMMAND...: until the command succeeds, or the process ends, or time is over.
await() {
  local name=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! running "$name" || [ $SECONDS -ge $deadline ]; then
      last_words "$name" >&2
      fail "$name did not start." "its last words are above; all of them: $logs/$name.log"
    fi
    sleep 0.05
  done
}

start_holder() {
  as_user turnpike turnpike "$state/bin/turnpike-holder" --socket "$holder_socket"
  spawn holder "${words[@]}"
  await holder 5 test -S "$holder_socket"
  good "holder (process $(process_id holder))"
}

start_turnpiked() {
  as_user turnpike turnpike,kamailio "$state/bin/turnpiked" --config "$state/turnpike.toml"
  spawn turnpiked "${words[@]}"
  await turnpiked 20 ctl status
  good "turnpiked (process $(process_id turnpiked)): media on $outside_address, ports $media_ports"
}

start_kamailio() {
  as_user kamailio kamailio /usr/sbin/kamailio -DD -E -M 8 -f "$sidecar/kamailio.cfg"
  spawn kamailio "${words[@]}"
  await kamailio 20 listens "$outside_address" "$tls_port"
  good "kamailio (process $(process_id kamailio)): SIP over TLS on $proxy"
}

listens() { [ -n "$(ss -Hlnt "src [$1]:$2" 2>/dev/null)" ]; }

# Ports of processes that do not run yet must be free.
check_ports() {
  running kamailio || {
    check_port 'SIP over TLS' tcp "$tls_port" "$outside_address"
    check_port 'SIP inside' tcp "$inside_port" "$inside_address"
    check_port 'SIP inside' udp "$inside_port" "$inside_address"
  }
  [ -z "$metrics_port" ] || running turnpiked ||
    check_port metrics tcp "$metrics_port" "$metrics_address"
}

# Rules for the packet filter and the reservation of media ports; both only where allowed.
load_firewall() {
  local reserved=/proc/sys/net/ipv4/ip_local_reserved_ports before
  if nft -D "media_ports=$media_ports" -f "$root/deploy/nftables/turnpike.nft" 2>/dev/null; then
    touch "$records/firewall" # before the second step: if that fails, the first is still undone
    if nft -f "$sidecar/nftables.conf" 2>/dev/null; then
      good 'packet filter: free media ports are silent, local processes kept from SIP and NG'
    else
      note 'packet filter: free media ports are silent; rules against local processes are refused'
    fi
  else
    note 'packet filter rules are not allowed here: a scan can tell free ports from used ones'
  fi
  [ -e "$records/reserved_ports" ] && return
  if before=$(cat "$reserved" 2>/dev/null) &&
    { echo "${before:+$before,}$media_ports" >"$reserved"; } 2>/dev/null; then
    echo "$before" >"$records/reserved_ports"
    good 'media ports reserved in the kernel'
  else
    note "media ports cannot be reserved here ($reserved): other programs may take some"
  fi
}

unload_firewall() {
  if [ -e "$records/firewall" ]; then
    nft delete table inet turnpike 2>/dev/null
    nft delete table inet turnpike_local 2>/dev/null
    rm -f "$records/firewall"
  fi
  if [ -e "$records/reserved_ports" ]; then
    cat "$records/reserved_ports" >/proc/sys/net/ipv4/ip_local_reserved_ports
    rm -f "$records/reserved_ports"
  fi
}

stop_turnpiked_at_once() { # the second signal ends the wait for calls; the holder keeps them
  local pid
  pid=$(process_id turnpiked)
  [ -z "$pid" ] || kill -TERM "$pid"
  stop turnpiked 10
}

# stop_node SECONDS: everything, calls get that long to end.
stop_node() {
  stop phone 5
  if running turnpiked; then
    kill -TERM "$(process_id turnpiked)"
    wait_until "$1" gone turnpiked
  fi
  stop kamailio 5
  stop_turnpiked_at_once
  stop holder 5
  unload_firewall
  remove_networks
  [ ! -e "$records/kamailio-folder" ] || rm -rf /run/kamailio
  rm -rf /run/turnpike-phone
  rm -f "$records/fingerprint" "$records/kamailio-folder"
}
