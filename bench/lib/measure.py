"""The runs of a measurement: relays started afresh, the generator beside them, in turn.

Hides: the generator's command line, who runs when. Not: what is made of the figures (report.py).
"""

import json
import math
import os
import pathlib
import shlex
import subprocess
import time

from . import ROOT, network, relays, report, search

BUILD = ROOT / "build" / "release"
GENERATOR = BUILD / "bench" / "load" / "turnpike_load"
# Where a search begins: below what any relay here does, so that a first failure is rare.
FIRST_RATE = 40000
FLOOR_HEADROOM = 1.5  # so that who reaches a rate that is set as the most is not taken for limited
CALL_RATE = 100  # packets a second of a call, both ways together
PREPARATION_SECONDS = 120  # at most: packets, and calls as slow as 10 a second on top


class BenchError(RuntimeError):
    """The measurement cannot go on; the text says why and what to do."""


def build(*targets):
    """Brings what is to be measured up to date."""
    print("building " + ", ".join(targets), flush=True)
    for command in (["cmake", "--preset", "release"], ["ninja", "-C", str(BUILD), *targets]):
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise BenchError(f"{shlex.join(command)}:\n{done.stdout[-3000:]}")


def stolen_seconds(core):
    """Time so far in which the host of a virtual machine ran something else on the core."""
    with open("/proc/stat", encoding="ascii") as lines:
        for line in lines:
            words = line.split()
            if words[0] == f"cpu{core}":
                return int(words[8]) / os.sysconf("SC_CLK_TCK")
    return 0.0


class Bench:
    """The runs, in a namespace and a folder that exist while it does."""

    noun = "call"
    ends = (network.PHONES, network.RELAY)  # the generator's, and those that it sends to

    def __init__(self, options, space, folder):
        self.options, self.space, self.folder = options, space, folder
        self.packet_bytes = options.sizes[0]

    def way_in(self, mode):
        """The generator's words for how calls are set up."""
        return "--ng", relays.NG_PORT, "--mode", mode

    def direct(self):
        """And for none: it sends to itself."""
        return "--direct", "yes"

    def generate(self, calls, *words, seconds=None):
        """One run of the generator; gives its figures."""
        seconds = seconds or self.options.seconds
        process = subprocess.Popen(
            self.space.command(
                "taskset", "-c", self.options.generator_core, GENERATOR, "--calls", calls,
                "--bytes", self.packet_bytes, "--seconds", seconds,
                "--warm-up", self.options.warm_up, "--local", ",".join(self.ends[0]),
                "--relay", ",".join(self.ends[1]), *words),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True)
        relays.favour(process.pid)
        try:
            # A generator that cannot keep up takes longer than the plan says.
            output, errors = process.communicate(
                timeout=PREPARATION_SECONDS + calls / 10 + 5 * (seconds + self.options.warm_up))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise BenchError(f"the generator failed with {process.returncode}: {errors.strip()}")
        return report.complete(json.loads(output))

    def measure(self, relay, mode, calls, *words, seconds=None):
        """A fresh relay for each run: nothing of an earlier one is in its memory."""
        with relay.running(self.space, pathlib.Path(self.folder),
                           self.options.relay_core) as process:
            begin, stolen = time.monotonic(), stolen_seconds(self.options.relay_core)
            run = self.generate(calls, "--pid", process.pid, *self.way_in(mode), *words,
                                seconds=seconds)
            run["stolen_percent"] = (100 * (stolen_seconds(self.options.relay_core) - stolen)
                                     / (time.monotonic() - begin))
        if report.faults(run):
            raise BenchError(f"{relay.name}, {mode}: {'; '.join(report.faults(run))}")
        return run

    # -- comparison at one rate ------------------------------------------------------------------

    def compare(self, chosen, mode, calls):
        """All rounds of one mode; the relay that begins changes from round to round."""
        rate = ("--rate", self.options.rate) if self.options.rate else ()
        runs = {relay.name: [] for relay in chosen}
        for number in range(self.options.rounds):
            for relay in chosen if number % 2 == 0 else reversed(chosen):
                begin = time.monotonic()
                run = self.measure(relay, mode, calls, *rate)
                runs[relay.name].append(run)
                print(f"  {mode} {calls} {self.noun}s, {self.packet_bytes} bytes, "
                      f"round {number + 1} of {self.options.rounds}, "
                      f"{relay.name}: {run['cpu_ns_per_packet']:.0f} ns/packet, "
                      f"loss {run['lost_percent']:.3f} %, {run['checked']} packets checked "
                      f"({time.monotonic() - begin:.0f} s)", flush=True)
        return runs

    # -- limits ----------------------------------------------------------------------------------

    def _search(self, bound, headroom=1.0):
        return search.Search(bound, FIRST_RATE, headroom * (self.options.rate_max or math.inf))

    def floor(self, calls):
        """The largest rate at which the generator, sending to itself, loses nothing and
        keeps up: what a relay is measured beyond that is the generator's own limit."""
        looking = self._search(search.BOUNDS[-1], FLOOR_HEADROOM)
        while rate := looking.next_rate():
            looking.note(rate, self.generate(calls, *self.direct(), "--rate", rate))
        return looking.limit

    def limits(self, chosen, mode, calls):
        """Searches for every relay and bound, step by step in turn, `rounds` times.
        Gives {relay: {bound: [Search, …]}}."""
        found = {relay.name: {bound.name: [] for bound in search.BOUNDS} for relay in chosen}
        for number in range(self.options.rounds):
            looking = {relay.name: self._search(search.BOUNDS[0]) for relay in chosen}
            for bound in search.BOUNDS:
                if bound is not search.BOUNDS[0]:
                    looking = {name: one.stricter(bound) for name, one in looking.items()}
                order = chosen if number % 2 == 0 else list(reversed(chosen))
                while any([self._step(relay, mode, calls, looking[relay.name])
                           for relay in order]):  # a list: every relay gets its step
                    pass
                for name, one in looking.items():
                    found[name][bound.name].append(one)
                    print(f"  {mode} {calls} {self.noun}s, round {number + 1} of "
                          f"{self.options.rounds}, {name}: {one.limit} packets/s "
                          f"{bound.text}", flush=True)
        return found

    def _step(self, relay, mode, calls, looking):
        """One run of a search; false when it is over."""
        rate = looking.next_rate()
        if rate is None:
            return False
        begin = time.monotonic()
        if self.options.real_calls:
            run = self.measure(relay, mode, max(round(rate / CALL_RATE), 1))
        else:
            run = self.measure(relay, mode, calls, "--rate", rate)
        looking.note(rate, run)
        print(f"    {relay.name} {rate}/s: {search.useless_percent(run):.3f} % lost or late, "
              f"p99 {run['delay_p99_us'] / 1000:.1f} ms, "
              f"{run['cpu_ns_per_packet']:.0f} ns/packet, "
              f"waited {run['waited_percent']:.1f} %, "
              f"taken by the host {run['stolen_percent']:.1f} % ({time.monotonic() - begin:.0f} s)",
              flush=True)
        return True

    # -- overload --------------------------------------------------------------------------------

    def overload(self, relay, mode, calls, limit):
        """{factor: figures} for each factor asked for."""
        seen = {}
        for factor in self.options.overload:
            plan = search.overload_plan(limit, factor, self.options.seconds)
            run = self.measure(relay, mode, calls, "--phases", plan,
                               seconds=3 * self.options.seconds)
            seen[str(factor)] = {"limit": limit, "plan": plan, "run": run,
                                 **search.overload_figures(limit, run)}
        return seen
