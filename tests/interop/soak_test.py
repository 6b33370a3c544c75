"""Calls that come and go, and a control thread that has no time for media.

TURNPIKE_SOAK_CALLS says how many calls (100000 for a soak at release); without it a few thousand.
"""

# time limit: 900 s

import ctypes
import os
import pathlib
import socket
import struct
import time

from lib.call import Call, Side
from lib.case import case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.ng import Link, encode
from lib.peer import Peer, connect, expect_clean
from lib.rtp import RtpSocket, packet
from lib.turnpiked import Turnpiked

CALLS = int(os.environ.get("TURNPIKE_SOAK_CALLS", 5000))
TOGETHER = 50  # calls that are up at a time
WARM_UP = 500
GROWTH_MAX_BYTES = 12 << 20  # of memory that is kept for the next calls
STALL_SECONDS = 2.0
LOSS_SHARE = 0.98
STORM = max(1000, CALLS // 2)


def _come_and_go(link, first, count):
    """Calls with an offer, an answer and a delete each, some dozens at a time."""
    a, b = Side(OUTSIDE, 30000, ("AES_CM_128_HMAC_SHA1_80",)), Side(INSIDE, 20000)
    offer, answer = a.sdp(), b.sdp()
    for begin in range(first, first + count, TOGETHER):
        ids = [f"soak-{n}" for n in range(begin, begin + TOGETHER)]
        common = [{"call-id": one, "from-tag": "a", "ICE": "remove"} for one in ids]
        rounds = (
            [dict(c, command="offer", sdp=offer, direction=["outside", "inside"],
                  **{"transport-protocol": "RTP/AVP"}) for c in common],
            [dict(c, command="answer", sdp=answer, **{"to-tag": "b"}) for c in common],
            [dict(c, command="query") for c in common[:1]],
            [dict(c, command="delete") for c in common],
        )
        for requests in rounds:
            bad = [reply for reply in link.ask(requests) if reply["result"] != "ok"]
            expect(not bad, f"{len(bad)} of {len(requests)} refused: {bad[:1]}")


def _media_sockets(daemon):
    """How many of the daemon's descriptors are media ports, which it keeps bound ahead."""
    bound = set()
    for table in ("udp", "udp6"):
        for line in pathlib.Path(f"/proc/{daemon.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if 36000 <= int(fields[1].rpartition(":")[2], 16) <= 59999:
                bound.add(f"socket:[{fields[9]}]")
    folder = pathlib.Path(f"/proc/{daemon.pid}/fd")
    return sum(os.readlink(one) in bound for one in folder.iterdir())


def _settled(daemon):
    """Figures of a daemon that is at rest: all ports are back from quarantine."""
    seen = []

    def at_rest():
        seen.append((daemon.sessions(), daemon.descriptors(),
                     int(daemon.total("turnpike_relay_ports", state="quarantined"))))
        return seen[-1][0] == 0 and seen[-1][2] == 0 and len(set(seen[-4:])) == 1 < len(seen[-4:])

    eventually(at_rest, lambda: f"at rest: {seen[-1]}", 60, every=0.5)
    media = _media_sockets(daemon)
    return {"others": daemon.descriptors() - media, "media": media,
            "resident": daemon.resident_bytes(),
            "ports": int(daemon.total("turnpike_relay_ports", state="in_use"))}


@case
def calls_come_and_go_and_leave_nothing(scratch):
    scratch.enter(topology())
    # So many calls a second as nobody has: with five seconds of rest all ports that this host's
    # limit of descriptors allows would be resting.
    daemon = Turnpiked(scratch, {"media": {"quarantine_seconds": 1}})
    link = Link(scratch, daemon.ng_path)
    _come_and_go(link, 0, WARM_UP)
    before = _settled(daemon)
    begun = time.monotonic()
    _come_and_go(link, WARM_UP, CALLS)
    seconds = time.monotonic() - begun
    after = _settled(daemon)
    growth = after["resident"] - before["resident"]
    note(f"{CALLS} calls at {CALLS / seconds:.0f} a second; memory grew by {growth >> 10} KiB, "
         f"{after['media']} ports are bound ahead, and {after['others']} other descriptors")
    expect(after["ports"] == before["ports"] == 0, f"ports are in use: {before}, then {after}")
    expect(after["others"] == before["others"], f"descriptors: {before}, then {after}")
    ports = int(daemon.total("turnpike_relay_ports_max"))
    expect(0 < after["media"] <= ports, f"{after['media']} of {ports} ports are bound")
    expect(growth < GROWTH_MAX_BYTES, f"memory grew by {growth} bytes over {CALLS} calls")
    ended = link.ask([{"command": "statistics"}])[0]["statistics"]["totalstatistics"]
    expect(int(ended["managedsessions"]) == WARM_UP + CALLS, ended)


class _Thread:
    """One thread of another process, held by ptrace while the others go on."""

    SEIZE, INTERRUPT, DETACH, ALL_CHILDREN = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, number):
        self._number = number
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self._libc.ptrace.restype = ctypes.c_long

    def _trace(self, request):
        if self._libc.ptrace(request, self._number, None, None) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")

    def __enter__(self):
        self._trace(self.SEIZE)
        self._trace(self.INTERRUPT)
        os.waitpid(self._number, self.ALL_CHILDREN)

    def __exit__(self, *_):
        self._trace(self.DETACH)


class _Delays:
    """Packets every 5 ms through one plain call, each with the time when it left."""

    def __init__(self, scratch, call):
        self._a, self._b = (RtpSocket(scratch, side) for side in (call.a, call.b))

    def measure(self, seconds):
        """(p99, longest) in milliseconds. A host that is busy otherwise may shed a few packets."""
        self._b.drain()
        delays, sent, end = [], 0, time.monotonic() + seconds
        while time.monotonic() < end:
            sent += 1
            self._a.send(packet(sent, struct.pack("!d", time.monotonic()) + b"\0" * 152))
            due = min(end, time.monotonic() + 0.005)
            while (left := due - time.monotonic()) > 0:
                self._take(delays, left)
        while len(delays) < sent and self._take(delays, 1.0):
            pass
        expect(len(delays) >= sent * LOSS_SHARE, f"{sent - len(delays)} of {sent} are lost")
        delays.sort()
        return delays[int(len(delays) * 0.99)] * 1000, delays[-1] * 1000

    def _take(self, delays, seconds):
        data = self._b.receive(seconds)
        if data is not None:
            delays.append(time.monotonic() - struct.unpack_from("!d", data, 12)[0])
        return data is not None


@case
def media_goes_on_while_control_is_stopped(scratch):
    """The control thread alone is held for some seconds: delays stay below that."""
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    call = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
    delays = _Delays(scratch, call)
    quiet = delays.measure(STALL_SECONDS)
    with _Thread(daemon.pid):
        stalled = delays.measure(STALL_SECONDS)
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(daemon.ng_path))
            link.sendall(encode({"command": "ping"}))
            link.settimeout(0.5)
            try:
                expect(not link.recv(1), "the control thread is not held")
            except TimeoutError:
                pass
    note(f"p99 and longest delay: {quiet[0]:.1f}, {quiet[1]:.1f} ms; with control held "
         f"{stalled[0]:.1f}, {stalled[1]:.1f} ms")
    expect(stalled[1] < STALL_SECONDS * 1000 / 2, f"a packet waited for {stalled[1]:.0f} ms")
    eventually(daemon.ng.ping, "the control thread goes on")


@case
def media_goes_on_in_a_storm_of_queries(scratch):
    """SRTP calls while NG clients ask without a pause: media flows, and every query is answered."""
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    calls = []
    for n in range(10):
        calls.append(Call(daemon.ng, Side(OUTSIDE, 30000 + 2 * n, ("AEAD_AES_256_GCM",)),
                          Side(INSIDE, 20000 + 2 * n)).set_up())
        connect(calls[-1], outside, inside)
    outside.start()
    inside.start()
    link = Link(scratch, daemon.ng_path)
    begun = time.monotonic()
    for begin in range(0, STORM, 500):
        replies = link.ask([{"command": "query", "call-id": calls[n % 10].call_id}
                            for n in range(begin, begin + 500)])
        expect(all(reply["result"] == "ok" for reply in replies), "a query failed")
    seconds = time.monotonic() - begun
    eventually(lambda: min(leg["received"] for leg in inside.report().values()) > 50,
               "media has flowed")
    for peer in (outside, inside):
        peer.pause()
    sent = outside.total("sent") + inside.total("sent")
    eventually(lambda: outside.total("received") + inside.total("received") >= sent * LOSS_SHARE,
               lambda: f"of {sent} packets more than a few are lost")
    lost = outside.total("lost") + inside.total("lost")
    expect_clean(outside, inside, lost_max=sent)
    pause = max(leg["longest_gap_ms"] for peer in (outside, inside)
                for leg in peer.report().values())
    note(f"{STORM} queries at {STORM / seconds:.0f} a second, {sent} packets, {lost} lost, longest "
         f"pause of a stream {pause} ms")


run()
