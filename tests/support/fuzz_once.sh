#!/usr/bin/env bash
# fuzz_once.sh PROGRAM CORPUS SECONDS: one short libFuzzer run from the committed seeds. New inputs
# go to a temporary folder; an input that fails is kept under build/fuzz-findings.
set -u
program=$1 corpus=$2 seconds=$3
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
mkdir -p build/fuzz-findings
if "$program" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=70000 \
  -print_final_stats=1 -artifact_prefix=build/fuzz-findings/"$(basename "$program")"- \
  "$found" "$corpus" 2>&1; then
  echo "PASS finds_nothing_in_${seconds}_s"
else
  echo "FAIL finds_nothing_in_${seconds}_s the input lies in build/fuzz-findings"
fi
