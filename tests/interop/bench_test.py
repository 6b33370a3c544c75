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
from bench.lib import report  # noqa: E402

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


run()
