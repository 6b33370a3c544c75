"""Turns what a test program left (exit code, log, GoogleTest's JSON) into lines of results.tsv.

A line is: suite, pass|fail|skip, test, reason, log. Prints "PASSED FAILED SKIPPED".
Programs that are not GoogleTest speak in lines: "PASS name", "FAIL name why", "SKIP name why".
"""

import fnmatch
import json
import os
import re
import sys


def from_gtest(path):
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    for suite in report["testsuites"]:
        for test in suite["testsuite"]:
            name = f'{suite["name"]}.{test["name"]}'
            if test.get("failures"):
                reason = test["failures"][0]["failure"].strip().replace("\n", " | ")
                yield "fail", name, reason[:300]
            elif test.get("result") == "SKIPPED":
                yield "skip", name, "skipped by the test"
            elif test.get("status") == "NOTRUN":
                yield "skip", name, "disabled"
            else:
                yield "pass", name, ""


def from_gtest_log(lines):
    """What a program that died before writing its report had done until then."""
    running = None
    for line in lines:
        match = re.match(r"\[ RUN      \] (\S+)", line)
        if match:
            running = match.group(1)
        match = re.match(r"\[(       OK|  FAILED) \]+ (\S+)", line)
        if match and running:
            yield ("pass" if "OK" in match.group(1) else "fail"), running, "failed"
            running = None
    if running:
        yield "fail", running, "the program ended inside this test"


def from_lines(lines):
    for line in lines:
        match = re.match(r"(PASS|FAIL|SKIP) (\S+)\s*(.*)", line)
        if match:
            yield match.group(1).lower(), match.group(2), match.group(3).strip()


def expected_skips(path):
    with open(path, encoding="utf-8") as file:
        lines = [line.split("#")[0].strip() for line in file]
    return [line for line in lines if line]


def main():
    suite, code, log, report, skips_path, results_path = sys.argv[1:]
    code = int(code)
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    rows = list(from_lines(lines))
    if os.path.exists(report) and os.path.getsize(report):
        rows += from_gtest(report)
    else:
        rows += from_gtest_log(lines)

    allowed = expected_skips(skips_path)
    checked = []
    for status, name, reason in rows:
        known = any(fnmatch.fnmatchcase(f"{suite}/{name}", pattern) for pattern in allowed)
        if status == "skip" and not known:
            status = "fail"
            reason = f"skipped, which tests/expected-skips.txt does not list: {reason}"
        checked.append((status, name, reason))
    failed = any(status == "fail" for status, _, _ in checked)
    if code in (124, 137):
        checked.append(("fail", "ends_in_time", f"stopped at its time limit (exit code {code})"))
    elif code != 0 and not failed:
        checked.append(("fail", "exit_code", f"exit code {code} although no test said FAIL"))
    if not checked:
        checked.append(("fail", "runs_a_test", "the program ran no test"))

    with open(results_path, "a", encoding="utf-8") as file:
        for status, name, reason in checked:
            reason = re.sub(r"[\t\r\n]+", " ", reason)
            file.write(f"{suite}\t{status}\t{name}\t{reason}\t{log}\n")
    statuses = [status for status, _, _ in checked]
    print(*(statuses.count(wanted) for wanted in ("pass", "fail", "skip")))


main()
