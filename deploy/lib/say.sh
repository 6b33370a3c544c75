# Plain words for whoever runs the scripts. Sourced; not run.
# shellcheck shell=bash

if [ -t 1 ]; then
  say_bold=$'\033[1m' say_red=$'\033[31m' say_green=$'\033[32m' say_plain=$'\033[0m'
else
  say_bold='' say_red='' say_green='' say_plain=''
fi

# A new part of the work.
step() { printf '%s%s%s\n' "$say_bold" "$1" "$say_plain"; }
# Something that is as it should be.
good() { printf '  %sok%s  %s\n' "$say_green" "$say_plain" "$1"; }
# Something worth knowing that stops nothing.
note() { printf '   -  %s\n' "$1"; }

# fail WHAT TO_DO: what is wrong and what to do about it; ends the script.
fail() {
  printf '\n%sFailed:%s %s\nWhat to do: %s\n' "$say_red" "$say_plain" "$1" "$2" >&2
  exit 1
}
