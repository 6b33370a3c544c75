"""Many legs of calls on libsrtp2 in one process per place: tests/support/srtp_peer, driven.

    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    for call in calls:
        connect(call, outside, inside)
    outside.start(); inside.start()
    …
    inside.report()[leg]["received"]
"""

import itertools
import json
import select
import subprocess

from . import case, turnpiked

_serial = itertools.count(1)


class Peer:
    def __init__(self, scratch, place):
        self.place = place
        self.legs = []
        self._process = scratch.spawn(
            *place.command(turnpiked.executable("srtp_peer")),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _command(self, *words):
        line = " ".join(str(word) for word in words) + "\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], 10)
        answer = self._process.stdout.readline() if ready else b""
        if not answer:
            raise case.Failed(f"srtp_peer in {self.place.name} does not answer {words[0]}")
        reply = json.loads(answer)
        if "error" in reply:
            raise case.Failed(f"srtp_peer: {words[0]}: {reply['error']}")
        return reply

    def add(self, side, ssrc, expected_ssrc, leg=None):
        """The leg of `side`, whose call is up. Gives the leg's name."""
        leg = leg or f"{side.place.name}-{side.port}"
        suite, own, theirs = side.chosen() or ("none", "-", "-")
        to = side.given
        self._command("leg", leg, side.address, side.port, to.address, to.rtp[1], to.rtcp[1],
                      int(to.mux and side.mux), ssrc, expected_ssrc, suite, own, suite, theirs)
        self.legs.append(leg)
        return leg

    def start(self, milliseconds=20):
        self._command("start", milliseconds)

    def pause(self):
        self._command("pause")

    def make(self, leg, count):
        """The leg's next packets, as bytes, unsent."""
        return [bytes.fromhex(text) for text in self._command("make", leg, count)["packets"]]

    def make_rtcp(self, leg, count):
        """The leg's next RTCP packets, as bytes, unsent."""
        return [bytes.fromhex(text)
                for text in self._command("make-rtcp", leg, count)["packets"]]

    def move(self, leg, port):
        self._command("move", leg, port)

    def report(self):
        """Counters by leg."""
        return {entry["id"]: entry for entry in self._command("report")["legs"]}

    def total(self, counter):
        return sum(entry[counter] for entry in self.report().values())


def talk_for_figures(call, outside, inside):
    """A call with media for as long as a sample of quality takes, and all packets arrived."""
    connect(call, outside, inside)
    outside.start()
    inside.start()
    case.eventually(lambda: inside.total("received") > 300, "media passes", timeout=20)
    outside.pause()
    inside.pause()
    case.eventually(lambda: outside.total("sent") == inside.total("received") and
                    inside.total("sent") == outside.total("received"), "the last packets arrive")


BAD = ("auth_failed", "replayed", "other_errors", "damaged", "clear", "foreign_source", "repeated",
       "rtcp_index_reused", "send_errors")


def connect(call, a, b):
    """Adds both legs of a call that is up: `a` plays call.a, `b` plays call.b."""
    ssrc_a, ssrc_b = (1000000 + 7919 * next(_serial) for _ in range(2))
    return a.add(call.a, ssrc_a, ssrc_b), b.add(call.b, ssrc_b, ssrc_a)


def expect_clean(*peers, lost_max=0):
    """Every leg got something, nothing bad, and lost at most lost_max packets."""
    for one in peers:
        for leg, counts in one.report().items():
            case.expect(counts["received"] > 0, f"{leg} received nothing: {counts}")
            bad = {name: counts[name] for name in BAD if counts[name]}
            case.expect(not bad, f"{leg}: {bad}")
            case.expect(counts["lost"] <= lost_max, f"{leg} lost {counts['lost']}")
