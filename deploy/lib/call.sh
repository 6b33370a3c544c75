# The test call, the phone that answers afterwards, and what is said at the end. Sourced; not run.
# shellcheck shell=bash

place_test_call() {
  step 'Test call'
  if [ -z "$phone" ]; then
    note "not placed: $config has no [sip.servers.test-phone] and route to it"
    return
  fi
  if [ ! -s "$records/test.password" ]; then
    note "not placed: the users of $config are not ours ($state/users), so there is no test user"
    return
  fi
  stop phone 5 # the answering phone of an earlier run has the address
  /usr/bin/python3 "$lib/settings.py" "$state/turnpike.toml" --plan "$records" "$networks" \
    >"$records/plan.json"
  if ! /usr/bin/python3 "$lib/test_call.py" "$records/plan.json"; then
    ctl status 2>/dev/null | sed -n 's/^dropped/  &/p' >&2
    exit 1
  fi
  good 'both calls held everything that they must'
}

# Answers the test number from now on: something to call with one's own softphone.
start_answering_phone() {
  local folder=/run/turnpike-phone enter=() address
  [ -n "$phone" ] && ! running phone || return 0
  install -d -m 700 "$folder"
  address=$(tr -d '[]' <<<"${phone%:*}")
  /usr/bin/python3 "$lib/answering_phone.py" "$folder" "$address" "${phone##*:}" "$phone_number" \
    "$domain"
  chown -R nobody:nogroup "$folder"
  [ "$networks" = 0 ] || enter=(ip netns exec "${inside_network[0]}")
  as_user nobody nogroup /usr/bin/baresip -f "$folder"
  spawn phone "${enter[@]}" "${words[@]}"
  await phone 5 grep -q 'baresip is ready' "$logs/phone.log"
}

summary() {
  step 'Ready'
  cat <<END
  For your own softphone:
    user         $own_user
    password     in $state/passwords (the line "$own_user")
    domain       $domain
    proxy        sip:$proxy;transport=tls
    authority    $trust_file (trust it in the softphone)
    encryption   SRTP with SDES, mandatory
END
  [ -z "$phone" ] || echo "    call         $phone_number: answers, plays a tone for five minutes"
  cat <<END
  For you:
    status       $state/bin/turnpikectl status
    metrics      http://$metrics_address:$metrics_port/metrics
    logs         $logs
END
}

# One line that is alive, until Ctrl-C.
follow() {
  trap 'exit 0' INT TERM HUP # the way it is meant to end
  if [ "$found_running" = 1 ]; then
    echo "It ran before and goes on running; $root/deploy/down stops it. Ctrl-C ends this display."
  else
    echo 'Ctrl-C stops it.'
  fi
  /usr/bin/python3 "$lib/watch.py" "$api_socket" &
  watcher=$!
  while running turnpiked && running kamailio && kill -0 "$watcher" 2>/dev/null; do
    sleep 1 &
    wait $!
  done
  kill "$watcher" 2>/dev/null
  echo
  if [ ! -e "$records/turnpiked.pid" ]; then
    echo 'Stopped by deploy/down.'
    exit 0
  fi
  keep=$found_running
  fail 'a process has ended by itself.' "see the end of its log in $logs."
}
