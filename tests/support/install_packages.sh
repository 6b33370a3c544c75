#!/usr/bin/env bash
# install_packages.sh LIST...: installs the Debian packages named in the lists that are missing.
# Services of new packages are neither started now nor enabled for later; others are not touched.
set -u

missing=()
while read -r package; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)
  [ "$state" = installed ] || missing+=("$package")
done < <(sed 's/#.*//' "$@" | tr -s ' \t' '\n' | grep . | sort -u)
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null && sudo -n true 2>/dev/null || {
    echo "need root (or sudo without a password) to install: ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo -n)
fi
echo "installing: ${missing[*]}"

policy=/usr/sbin/policy-rc.d
if ! [ -e $policy ]; then
  trap '"${as_root[@]}" rm -f $policy' EXIT
  trap 'exit 1' INT TERM HUP
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
  "${as_root[@]}" chmod 755 $policy
fi
units_before=$(mktemp)
list_units() {
  find /lib/systemd/system /usr/lib/systemd/system \
    \( -name '*.service' -o -name '*.socket' -o -name '*.timer' \) -printf '%f\n' 2>/dev/null |
    sort -u
}
list_units >"$units_before"

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q \
  -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" </dev/null; }
code=0
apt update || true
apt install -y --no-install-recommends "${missing[@]}" || code=1

if command -v systemctl >/dev/null; then
  list_units | comm -13 "$units_before" - | grep -v '@' |
    xargs -r "${as_root[@]}" systemctl disable >/dev/null 2>&1 || true
fi
rm -f "$units_before"
exit $code
