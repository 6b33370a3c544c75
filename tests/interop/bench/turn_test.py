#!/usr/bin/env python3
"""bench/run turn measures the TURN server and coturn alike. Says nothing about speed."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib.case import ROOT, case, expect, run  # noqa: E402
sys.path.insert(0, str(ROOT))
from bench.lib import measure, network, turn  # noqa: E402

ALLOCATIONS, RATE = 20, 2000
BYTES = 173  # no multiple of four: indications are padded, and all over streams


@case
def turn_servers_are_measured(scratch):
    target = scratch.folder / "results.json"
    modes = [*turn.MODES, *turn.STREAM_MODES]
    done = subprocess.run(
        [str(ROOT / "bench" / "run"), "turn", "--no-build", "--calls", str(ALLOCATIONS),
         "--rate", str(RATE), "--bytes", str(BYTES), "--seconds", "1", "--warm-up", "1",
         "--rounds", "1", "--modes", ",".join(modes), "--json", str(target)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False)
    expect(done.returncode == 0, f"ends with {done.returncode}: {done.stdout}{done.stderr}")
    comparisons = json.loads(target.read_text())["comparisons"]
    expect([each["mode"] for each in comparisons] == modes,
           f"both ways of data, and each transport: {comparisons}")
    for comparison in comparisons:
        for name in ("turnpike", "coturn"):
            [found] = comparison["runs"][name]
            expect(found["sent"] == RATE and found["received"] > 0.9 * RATE,
                   f"{name}: packets go through: {found}")
            expect(found["checked"] > 0 and found["bad"] == found["foreign"] == 0,
                   f"{name}: each comes whole, to its own client: {found}")
            expect(found["descriptors_per_call"] >= 1, f"{name}: each has its port: {found}")
            expect(found["cpu_ns_per_packet"] > 0 and found["set_ups_per_second"] > 0
                   and found["delay_p50_us"] > 0, f"{name}: figures of work: {found}")


@case
def clients_have_to_prove_their_credentials(scratch):
    space = network.Namespace(f"tp-bench-{os.getpid()}")
    scratch.on_exit(space.remove)
    wrong = scratch.folder / "wrong-secret"
    wrong.write_text("not-the-secret-of-the-server\n")
    plan = argparse.Namespace(sizes=[BYTES], seconds=1, warm_up=0, generator_core=0)
    bench = turn.TurnBench(plan, space, scratch.folder)
    for server in (turn.Turnpike(measure.BUILD), turn.Coturn(1)):
        with server.running(space, scratch.folder, 0) as process:
            words = ("--pid", process.pid, "--mode", turn.MODES[0], "--rate", 100)
            try:
                bench.generate(1, *words, "--secret-file", wrong)
                expect(False, f"{server.name} takes a wrong password")
            except measure.BenchError as error:
                expect("refuses with 401" in str(error), f"{server.name}: {error}")
            found = bench.generate(1, *words, "--secret-file", turn.secret_in(scratch.folder))
            expect(found["received"] > 0, f"{server.name}: {found}")


run()
