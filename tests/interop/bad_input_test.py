"""Bad input on real sockets: a million packets on the media ports and datagrams on NG change
neither memory nor sessions, each is counted, and the calls that are up go on.
"""
# time limit: 240 s

import contextlib
import os
import random
import socket

from lib import ng as ng_client
from lib.call import Call, Side
from lib.case import case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, STRANGER, topology
from lib.peer import Peer, connect, expect_clean
from lib.rtp import RtpSocket, packet, receiver_report
from lib.turnpiked import Turnpiked

CM = "AES_CM_128_HMAC_SHA1_80"
CALLS = 16
PACKETS = 1_000_000
NG_DATAGRAMS = 100_000
NG_WARM_UP = 50_000  # more than the cache of replies keeps
ROUND_PER_PORT = 128  # what a socket's receive buffer surely holds
GROWTH_MAX_BYTES = 4 << 20


def _hostile(seed):
    """A few thousand packets of every kind that is wrong."""
    rnd = random.Random(seed)
    kinds = [
        lambda: rnd.randbytes(rnd.randrange(0, 200)),
        lambda: rnd.randbytes(rnd.randrange(1400, 3000)),
        lambda: packet(rnd.randrange(65536), rnd.randbytes(170), ssrc=rnd.getrandbits(32)),
        lambda: packet(rnd.randrange(65536))[:rnd.randrange(1, 12)],
        lambda: bytes([0xBF]) + packet(1)[1:] + rnd.randbytes(8),  # padding, extension, 15 CSRCs
        lambda: receiver_report()[:rnd.randrange(1, 8)],
        lambda: b"\x80\xc8\xff\xff" + rnd.randbytes(24),
        lambda: receiver_report(rnd.getrandbits(32)) + rnd.randbytes(14),
        lambda: b"\x00\x01\x00\x00\x21\x12\xa4\x42" + rnd.randbytes(12),
        lambda: b"\x16\xfe\xff" + rnd.randbytes(60),
    ]
    return [kinds[i % len(kinds)]() for i in range(4000)]


def _running_calls(scratch, daemon):
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    calls = []
    for i in range(CALLS):
        a = Side(OUTSIDE, 30000 + 2 * i, (CM,) if i % 2 else ())
        calls.append(Call(daemon.ng, a, Side(INSIDE, 20000 + 2 * i)).set_up())
        connect(calls[-1], outside, inside)
    outside.start()
    inside.start()
    for peer in (outside, inside):
        # Long enough for connected sockets.
        eventually(lambda: min(leg["received"] for leg in peer.report().values()) >= 150,
                   "the calls run", 20)
    seen = []

    def settled():
        seen.append(daemon.descriptors())
        return len(seen) > 5 and len(set(seen[-5:])) == 1
    eventually(settled, "the stock of ports is full", 30, every=0.25)
    return calls, outside, inside


@case
def a_million_hostile_packets_change_nothing(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    calls, outside, inside = _running_calls(scratch, daemon)
    targets = [address for call in calls for address in (call.a.given.rtp, call.a.given.rtcp)]
    with STRANGER.sockets():
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    scratch.on_exit(link.close)
    hostile = _hostile(1)
    resident, descriptors = daemon.resident_bytes(), daemon.descriptors()
    dropped = daemon.dropped()
    sent = 0
    while sent < PACKETS:
        for target in targets:
            begin = sent % len(hostile)
            for data in hostile[begin:begin + ROUND_PER_PORT]:
                link.sendto(data, target)
                sent += 1
        eventually(lambda: daemon.dropped() - dropped >= sent,
                   lambda: f"{sent} packets counted, not {daemon.dropped() - dropped}")
    expect(daemon.dropped() - dropped == sent,
           f"{daemon.dropped() - dropped} drops counted for {sent} packets: {daemon.drops()}")
    growth = daemon.resident_bytes() - resident
    expect(growth < GROWTH_MAX_BYTES, f"memory grew by {growth} bytes")
    expect(daemon.descriptors() == descriptors, "descriptors are left open")
    expect(daemon.sessions() == CALLS, f"{daemon.sessions()} sessions")
    lines = daemon.log_text().count("\n")
    expect(lines < 200, f"{lines} lines of log")
    expect_clean(outside, inside)
    note(f"{sent} packets, memory grew by {growth >> 10} KiB, drops {daemon.drops()}")


@case
def hostile_packets_from_the_right_address_change_nothing(scratch):
    """From the peer's own address, where the source policy lets them in."""
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    srtp = Call(daemon.ng, Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000)).set_up()
    sender, far = RtpSocket(scratch, srtp.a), RtpSocket(scratch, srtp.b)
    dropped = daemon.dropped()
    hostile = _hostile(2)
    for begin in range(0, len(hostile), ROUND_PER_PORT):
        for data in hostile[begin:begin + ROUND_PER_PORT]:
            sender.send(data)
        count = min(begin + ROUND_PER_PORT, len(hostile))
        eventually(lambda: daemon.dropped() - dropped >= count, f"{count} packets counted")
    expect(daemon.dropped() - dropped == len(hostile), f"drops {daemon.drops()}")
    expect(not far.drain(), "something unauthentic was forwarded")


@case
def hostile_ng_datagrams_change_nothing(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    call = Call(daemon.ng, Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000)).set_up()
    rnd = random.Random(3)
    good = b"77_1 " + ng_client.encode({"command": "offer", "call-id": "x", "from-tag": "y",
                                        "sdp": Side(OUTSIDE, 30000).sdp()})
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    scratch.on_exit(link.close)
    sessions = daemon.sessions()

    def send(i):
        kind = i % 5
        if kind == 0:
            data = rnd.randbytes(rnd.randrange(0, 300))
        elif kind == 1:
            data = b"%d " % i + good[5:][:rnd.randrange(len(good) - 5)]
        elif kind == 2:
            data = b"%d " % i + b"l" * rnd.randrange(1, 3000)
        elif kind == 3:
            data = b"%d d99999999999:" % i + rnd.randbytes(20)
        else:
            data = b"%d d7:command5:offer3:sdp%d:" % (i, rnd.randrange(1 << 20)) + rnd.randbytes(40)
        link.sendto(data, ("127.0.0.1", 2223))
        if i % 50 == 49:
            daemon.ng.ping()  # as slow as it reads

    for i in range(NG_WARM_UP):
        send(i)
    resident = daemon.resident_bytes()
    faults = daemon.total("turnpike_ng_parse_faults_total")
    for i in range(NG_WARM_UP, NG_WARM_UP + NG_DATAGRAMS):
        send(i)
    link.close()
    expect(daemon.sessions() == sessions, f"{daemon.sessions()} sessions, {sessions} before")
    growth = daemon.resident_bytes() - resident
    expect(growth < GROWTH_MAX_BYTES, f"memory grew by {growth} bytes")
    faults = daemon.total("turnpike_ng_parse_faults_total") - faults
    expect(faults == NG_DATAGRAMS, f"{faults} of {NG_DATAGRAMS} bad datagrams are counted")
    expect(call.query()["result"] == "ok", "the call is gone")
    note(f"memory grew by {growth >> 10} KiB")


@case
def hostile_ng_connections_change_nothing(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    call = Call(daemon.ng, Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000)).set_up()
    rnd = random.Random(4)
    descriptors = daemon.descriptors()
    waiting = []
    for i in range(2000):
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.setblocking(False)
        try:
            link.connect(str(daemon.ng_path))
            link.send([b"", b"d", b"d7:command4:pin", rnd.randbytes(500), b"l" * 900,
                       b"9999999999:"][i % 6])
        except OSError:
            pass  # refused or full: its right
        if i % 10 == 0:
            waiting.append(link)  # says no more and stays
        else:
            link.close()

    def answers():
        with contextlib.suppress(ConnectionError):  # refused while those that closed are unread
            return daemon.ng.ping()
    eventually(answers, "NG does not answer any more")
    expect(call.query()["result"] == "ok", "the call is gone")
    for link in waiting:
        link.close()
    eventually(lambda: daemon.descriptors() <= descriptors + 2,
               lambda: f"{descriptors} descriptors, not {daemon.descriptors()}")


@case
def bad_sdp_is_refused_and_builds_nothing(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    good = Side(OUTSIDE, 30000, (CM,)).sdp()
    bad = {
        "empty": "", "noise": os.urandom(200).hex(),
        "bad port": good.replace("m=audio 30000", "m=audio 99999"),
        "no address": "\r\n".join(line for line in good.split("\r\n") if line[:2] != "c="),
        "bad address": good.replace(OUTSIDE.v4, "300.1.1.1"),
        "short key": good.replace("inline:", "inline:QUJD|").replace("|", "\r\na=x:"),
        "too many m-lines": good + "m=audio 30002 RTP/AVP 0\r\n" * 100,
    }
    for name, sdp in bad.items():
        reply = daemon.ng.exchange("offer", call_id=f"bad-{name}", from_tag="f", sdp=sdp,
                                   direction=["outside", "inside"], transport_protocol="RTP/AVP")
        expect(reply["result"] == "error" and reply.get("error-reason"), f"{name}: {reply}")
    expect(daemon.sessions() == 0, f"{daemon.sessions()} sessions are left")


run()
