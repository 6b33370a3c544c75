#!/usr/bin/env python3
"""bench/run measures a running turnpiked, and finds out a relay that forwards wrong packets.

Says nothing about speed: how fast a relay is, is what bench/run is for.
"""

import base64
import json
import os
import re
import select
import socket
import subprocess
import threading

from lib import ng
from lib.case import ROOT, case, expect, note, run

import sys
sys.path.insert(0, str(ROOT))
from bench.lib import report, search  # noqa: E402

GENERATOR = ROOT / "build" / "release" / "bench" / "load" / "turnpike_load"
CALLS, SECONDS = 20, 2
PACKETS = CALLS * 2 * 50 * SECONDS


class CarelessRelay(threading.Thread):
    """Speaks NG and forwards every packet as it came: no decryption, no keys of its own."""

    def __init__(self):
        super().__init__(daemon=True)
        self._end_read, self._end_write = os.pipe()
        self._control = self._socket()
        self.port = self._control.getsockname()[1]
        self._calls = {}
        self._way = {}  # socket -> (socket, address) that its packets go out of and to

    @staticmethod
    def _socket():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        return made

    def run(self):
        while True:
            ready, _, _ = select.select([self._end_read, self._control, *self._way], [], [])
            for one in ready:
                if one == self._end_read:
                    return
                data, source = one.recvfrom(65536)
                if one is self._control:
                    cookie, _, body = data.partition(b" ")
                    self._control.sendto(
                        cookie + b" " + ng.encode(self._answer(ng.decode(body))), source)
                else:
                    out, to = self._way[one]
                    out.sendto(data, to)

    def _answer(self, request):
        if request["command"] == "delete":
            return {"result": "ok"}
        sender = ("127.0.0.1", int(re.search(r"m=audio (\d+)", request["sdp"]).group(1)))
        pair = self._calls.setdefault(request["call-id"], (self._socket(), self._socket()))
        side = 0 if request["command"] == "offer" else 1
        # What comes in on the other side's socket goes out of this one, to who speaks here.
        self._way[pair[1 - side]] = (pair[side], sender)
        key = base64.b64encode(os.urandom(30)).decode()
        return {"result": "ok", "sdp": (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {pair[1 - side].getsockname()[1]} {request['transport-protocol']} 8\r\n"
            f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n")}

    def end(self):
        os.write(self._end_write, b"x")
        self.join()


def generate(*words):
    done = subprocess.run([str(GENERATOR), *map(str, words)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)
    expect(done.returncode == 0, f"turnpike_load: {done.stderr}")
    return report.complete(json.loads(done.stdout))


@case
def calls_are_measured_and_their_packets_verify(scratch):
    target = scratch.folder / "results.json"
    done = subprocess.run(
        [str(ROOT / "bench" / "run"), "--no-build", "--relays", "turnpike", "--calls", str(CALLS),
         "--modes", "rtp-rtp,srtp-rtp,srtp-srtp,gcm-gcm", "--seconds", str(SECONDS),
         "--warm-up", "1", "--rounds", "1", "--json", str(target)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=110, check=False)
    expect(done.returncode == 0, f"bench/run ends with {done.returncode}: {done.stdout[-2000:]}")
    results = json.loads(target.read_text())
    for comparison in results["comparisons"]:
        [measured] = comparison["runs"]["turnpike"]
        expect(measured["sent"] == PACKETS, f"{PACKETS} packets sent: {measured}")
        expect(measured["received"] > 0 and measured["cpu_ns_per_packet"] > 0
               and measured["memory_kib_per_call"] > 0 and measured["set_ups_per_second"] > 0
               and measured["delay_p50_us"] > 0, f"figures of traffic that flowed: {measured}")
        expect(measured["checked"] > 0 and measured["bad"] == 0, f"all tags verify: {measured}")
        note(f"{comparison['mode']}: {measured['checked']} packets verified, "
             f"{measured['received']} of {measured['sent']} received")
    expect([each["mode"] for each in results["comparisons"]]
           == ["rtp-rtp", "srtp-rtp", "srtp-srtp", "gcm-gcm"], "every mode has its result")
    expect(str(scratch.folder) not in json.dumps(results["machine"]), "no path in the description")


@case
def limits_and_overload_are_measured(scratch):
    """Rates that every machine can do: how it is done, not how much."""
    target = scratch.folder / "results.json"
    done = subprocess.run(
        [str(ROOT / "bench" / "run"), "--no-build", "--relays", "turnpike", "--overload", "2",
         "--calls", "10", "--rate-max", "1000", "--modes", "gcm-gcm", "--bytes", "1200",
         "--seconds", "2", "--rounds", "2", "--json", str(target)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=110, check=False)
    expect(done.returncode == 0, f"bench/run ends with {done.returncode}: {done.stdout[-2000:]}")
    results = json.loads(target.read_text())
    [limit], [overload] = results["limits"], results["overload"]
    lax = limit["relays"]["turnpike"]["100ms"]
    expect(lax["rates"] == [1000, 1000] and lax["median"] == 1000, f"all rounds passed: {limit}")
    for runs in lax["runs"]:
        expect(runs[0]["sent"] == 2000 and runs[0]["checked"] > 0, f"with packets judged: {runs}")
    beyond = overload["relays"]["turnpike"]["2.0"]
    expect([phase["sent"] for phase in beyond["run"]["phases"]] == [2000, 4000, 1000],
           f"the limit, twice that, half of it: {beyond}")
    expect(beyond["reached"] > 0 and beyond["goodput_percent"] > 0, f"{beyond}")
    expect("most packets/s" in done.stdout and "beyond each relay" in done.stdout, done.stdout)


@case
def handshakes_are_made_and_measured(scratch):
    done = subprocess.run(
        [str(ROOT / "bench" / "handshakes"), "--no-build", "--relays", "turnpike", "--rate", "10",
         "--seconds", "2", "--calls", "5"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    expect(done.returncode == 0, f"ends with {done.returncode}: {done.stdout}{done.stderr}")
    told = dict(re.findall(r"(?m)^turnpike, (.*?): (\{.*\})$", done.stdout))
    for what in ("handshakes alone", "handshakes beside them"):
        found = json.loads(told[what])
        expect(found["handshakes_completed"] == found["handshakes_attempted"] >= 19
               and found["refused"] == found["failed"] == 0, f"{what}: {found}")
        expect(found["p50_ms"] > 0 and found["relay_cpu_us_each"] > 0, f"{what}: {found}")
    expect(json.loads(told["5 calls beside handshakes"])["delay_p50_us"] > 0, done.stdout)


@case
def both_nodes_of_a_pair_are_measured(scratch):
    target = scratch.folder / "pair.json"
    done = subprocess.run(
        [str(ROOT / "bench" / "run"), "pair", "--no-build", "--calls", "20", "--rounds", "1",
         "--seconds", "2", "--warm-up", "1", "--relays", "edge,core", "--json", str(target)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False)
    expect(done.returncode == 0, f"ends with {done.returncode}: {done.stdout}{done.stderr}")
    runs = json.loads(target.read_text())["comparisons"][0]["runs"]
    for node in ("edge", "core"):
        (found,) = runs[node]
        expect(found["checked"] > 0 and found["cpu_ns_per_packet"] > 0, f"{node}: {found}")


@case
def nothing_of_a_measurement_stays_behind(scratch):
    before = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    done = subprocess.run(
        [str(ROOT / "bench" / "run"), "--no-build", "--relays", "turnpike", "--calls", "1",
         "--modes", "gcm-gcm", "--bytes", "5", "--quick"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    expect(done.returncode == 1 and "bytes go from 12" in done.stderr,
           f"a failing generator is reported: {done.returncode} {done.stderr}")
    after = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    expect(after.stdout == before.stdout, f"no namespace is left: {after.stdout}")


@case
def a_relay_that_forwards_wrong_packets_is_found_out(scratch):
    relay = CarelessRelay()
    relay.start()
    scratch.on_exit(relay.end)
    common = ("--ng", relay.port, "--pid", os.getpid(), "--calls", 2, "--seconds", 1,
              "--warm-up", 0)
    plain = generate("--mode", "rtp-rtp", *common)
    expect(plain["checked"] > 0 and not report.faults(plain), f"plain calls are right: {plain}")
    secure = generate("--mode", "srtp-rtp", *common)
    expect(secure["checked"] > 0 and secure["bad"] == secure["checked"],
           f"every packet under the wrong key is found: {secure}")
    expect(report.faults(secure), "and makes the run a fault")


def run_of(rate, limit, delay_limit=None):
    """Figures of an imaginary relay: beyond `limit` it loses a tenth, beyond `delay_limit` its
    packets take 50 ms."""
    sent = 3 * rate
    return {"sent": sent, "received": sent if rate <= limit else sent * 9 // 10, "late": 0,
            "delay_p99_us": 50000 if rate > (delay_limit or limit) else 900,
            "generator_late_percent": 0, "generator_unread": 0,
            "phases": [{"rate": rate, "sent_per_second": rate}]}


def search_through(looking, answer, most=30):
    """Runs a search against `answer(rate)`; gives the rates that it tried."""
    tried = []
    while (rate := looking.next_rate()) is not None:
        tried.append(rate)
        expect(len(tried) <= most, f"the search does not end: {tried}")
        looking.note(rate, answer(rate))
    return tried


@case
def a_search_finds_the_limit_from_above_and_below(scratch):
    del scratch
    for limit in (3000, 27000, 40000, 41000, 123456, 900000):
        looking = search.Search(search.BOUNDS[0], 40000)
        tried = search_through(looking, lambda rate, limit=limit: run_of(rate, limit))
        expect(looking.limit <= limit <= 1.04 * looking.limit,
               f"limit {limit}, found {looking.limit} by {tried}")
        good, bad = looking.runs_at_limit()
        expect(good["sent"] == 3 * looking.limit and bad["received"] < bad["sent"],
               "the runs on both sides of the limit are kept")
    capped = search.Search(search.BOUNDS[0], 40000, rate_max=50000)
    tried = search_through(capped, lambda rate: run_of(rate, 123456))
    expect(capped.limit == max(tried) == 50000, f"not beyond what was asked for: {tried}")
    dead = search.Search(search.BOUNDS[0], 40000)
    tried = search_through(dead, lambda rate: run_of(rate, 0))
    expect(dead.limit == 0 and min(tried) >= 500, f"a dead relay has no limit: {tried}")


@case
def a_search_for_a_stricter_bound_uses_what_was_seen(scratch):
    del scratch
    lax = search.Search(search.BOUNDS[0], 40000)
    before = search_through(lax, lambda rate: run_of(rate, 100000, 70000))
    strict = lax.stricter(search.BOUNDS[1])
    after = search_through(strict, lambda rate: run_of(rate, 100000, 70000))
    expect(lax.limit > 95000, f"the lax bound ignores 50 ms: {lax.limit}")
    expect(strict.limit <= 70000 <= 1.04 * strict.limit, f"{strict.limit} at 20 ms")
    expect(not set(before) & set(after), f"a rate was measured twice: {before}, {after}")


@case
def a_search_forgives_one_narrow_miss(scratch):
    del scratch
    missed = []

    def with_a_pause(rate, lost):
        run = run_of(rate, 100000)
        if rate == 60000 and missed.count(rate) < lost:
            missed.append(rate)
            run["received"] -= run["sent"] // 500  # 0.2 %
        return run
    once = search.Search(search.BOUNDS[0], 40000)
    search_through(once, lambda rate: with_a_pause(rate, 1))
    expect(once.limit > 95000, f"one pause of the machine ended the search at {once.limit}")
    missed.clear()
    twice = search.Search(search.BOUNDS[0], 40000)
    search_through(twice, lambda rate: with_a_pause(rate, 2))
    expect(twice.limit < 60000, f"two misses in a row are none: {twice.limit}")


@case
def reports_tell_the_relays_limit_from_the_generators(scratch):
    del scratch
    searches = {}
    for name, limit in (("turnpike", 195000), ("rtpengine", 60000)):
        looking = search.Search(search.BOUNDS[0], 40000)
        search_through(looking, lambda rate, limit=limit: run_of(rate, limit))
        searches[name] = {bound.name: [looking.stricter(bound)] for bound in search.BOUNDS}
    found = report.limits_of(searches, 200000)
    lines = "\n".join(report.limit_table("rtp-rtp", 200000, found))
    expect(found["turnpike"]["100ms"]["generator_limited"] == 1 and
           "generator was the limit in 1 of 1 rounds with turnpike" in lines,
           f"near what the generator can do itself: {lines}")
    expect(found["rtpengine"]["100ms"]["generator_limited"] == 0 and "3." in lines,
           f"far from it, and a third: {lines}")


@case
def a_search_ends_where_the_generator_does(scratch):
    del scratch

    def sent_at_most(rate):
        return {**run_of(rate, 10**9), "phases": [{"rate": rate,
                                                   "sent_per_second": min(rate, 250000)}]}
    looking = search.Search(search.BOUNDS[0], 40000)
    search_through(looking, sent_at_most)
    expect(looking.limit <= 250000 / 0.97 <= 1.04 * looking.limit, f"found {looking.limit}")
    found = report.limits_of({"turnpike": {bound.name: [looking.stricter(bound)]
                                           for bound in search.BOUNDS}}, 10**12)
    expect(all(found["turnpike"][bound.name]["generator_limited"] == 1
               for bound in search.BOUNDS), "it is told whose limit that is")


@case
def overload_is_told_in_percent_of_the_limit(scratch):
    del scratch
    expect(search.overload_plan(100000, 1.5, 3) == "100000:3,150000:3,50000:3", "the plan")
    phase = {"sent": 300000, "received": 300000, "late": 0, "first_second_sent": 100000,
             "first_second_received": 100000, "first_second_late": 0, "sent_per_second": 100000}
    beyond = {**phase, "sent": 600000, "received": 300000, "late": 60000, "sent_per_second": 200000}
    after = {**phase, "sent": 150000, "received": 148000, "late": 4000, "first_second_sent": 50000,
             "first_second_received": 49000, "first_second_late": 4000}
    figures = search.overload_figures(100000, {"phases": [phase, beyond, after]})
    wanted = {"reached": 2.0, "forwarded_percent": 100.0, "goodput_percent": 80.0,
              "first_second_useless_percent": 10.0, "later_useless_percent": 1.0}
    expect(figures == wanted, f"{figures}")
    lines = "\n".join(report.overload_table("rtp-rtp", 1000, {"turnpike": {"3": figures}}))
    expect("could not send 3 times" in lines and "80" in lines, lines)


@case
def phases_are_played_at_their_rates(scratch):
    del scratch
    result = generate("--direct", "yes", "--calls", 10, "--warm-up", 0,
                      "--phases", "1000:1,4000:2,500:1")
    expect([phase["sent"] for phase in result["phases"]] == [1000, 8000, 500], f"{result}")
    expect([phase["first_second_sent"] for phase in result["phases"]] == [1000, 4000, 500],
           f"{result}")
    expect(result["sent"] == result["received"] == 9500, f"{result}")
    rate = result["phases"][1]["sent_per_second"]
    expect(0 < rate <= 4400, f"{rate} packets a second")
    for words, why in ((("--phases", "1000"), "RATE:SECONDS"),
                       (("--calls", 1, "--rate", 40000, "--seconds", 9), "65535")):
        done = subprocess.run([str(GENERATOR), "--direct", "yes", *map(str, words)],
                              capture_output=True, text=True, timeout=20, check=False)
        expect(done.returncode != 0 and why in done.stderr, f"{words}: {done.stderr}")


run()
