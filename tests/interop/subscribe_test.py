"""One-to-many: who subscribes to a call over NG hears its ends, with keys of his own (libsrtp2),
and nobody hears him."""

import json
import time

from lib.call import Call, Crypto, Side
from lib.case import case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.ng import NgError
from lib.peer import Peer, connect, expect_clean
from lib.rtp import RtpSocket, packet, payload_of, receiver_report
from lib.talk import Talk
from lib.turnpiked import Holder, Turnpiked

GCM = "AEAD_AES_256_GCM"
CM = "AES_CM_128_HMAC_SHA1_80"


def _subscribe(ng, call, side, tag, **who):
    """`side` subscribes to one end of the call; it hears nothing before this returns."""
    reply = ng.request("subscribe request", call_id=call.call_id, to_tag=tag,
                       transport_protocol="RTP/SAVP" if side.suites else "RTP/AVP",
                       direction=[side.interface], **who)
    expect(reply["to-tag"] == tag, reply)
    given = side.hears(reply["sdp"])
    expect(given.direction == "sendonly", reply["sdp"])
    crypto = None
    if side.suites:
        line = next(line for line in given.crypto if line.suite in side.keys)
        crypto = [Crypto(line.tag, line.suite, side.keys[line.suite])]
    ng.request("subscribe answer", call_id=call.call_id, to_tag=tag, sdp=side.sdp(crypto))
    return reply


@case
def a_recorder_hears_both_ends_with_keys_of_its_own(scratch):
    """Caller and callee on SRTP with one suite each, two recorders: SRTP for the caller's voice
    and the callee's, another one for the caller's alone. libsrtp2 judges every packet."""
    scratch.enter(topology())
    daemon = Turnpiked(scratch, holder=Holder(scratch))
    ng = daemon.ng
    call = Call(ng, Side(OUTSIDE, 30000, (GCM,)), Side(INSIDE, 20000, (CM,))).set_up()
    outside, inside, recorder = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE), Peer(scratch, INSIDE)
    connect(call, outside, inside)
    ssrc = {"a": 1007919, "b": 1015838}  # of connect()
    sides = {}
    for name, port, end, suite in (("a1", 25000, "a", CM), ("b1", 25002, "b", GCM),
                                   ("a2", 25004, "a", GCM)):
        tag = call.from_tag if end == "a" else call.to_tag
        sides[name] = Side(INSIDE, port, (suite,), direction="recvonly")
        _subscribe(ng, call, sides[name], name, from_tag=tag)
        recorder.add(sides[name], 77, ssrc[end], leg=name)
    outside.start()
    inside.start()

    def heard():
        return {leg: counts["received"] for leg, counts in recorder.report().items()}

    eventually(lambda: min(heard().values()) > 50, lambda: f"recorders hear all: {heard()}")
    expect_clean(outside, inside, recorder)

    # The recorder sends RTP and RTCP: nobody gets any of it.
    before = daemon.total("turnpike_relay_packets_dropped_total", reason="from_subscriber")
    recorder.start()
    eventually(lambda: daemon.total("turnpike_relay_packets_dropped_total",
                                    reason="from_subscriber") > before + 20,
               "what a subscriber sends is dropped")
    recorder.pause()
    expect_clean(outside, inside)
    expect(daemon.total("turnpike_relay_packets_copied_total") > 100, "copies are counted")

    # A crash of the daemon: subscriptions go on, and no index is used twice.
    daemon.kill()
    daemon.start()
    count = heard()
    eventually(lambda: all(now > count[leg] + 25 for leg, now in heard().items()),
               lambda: f"recorders hear on after a restart: {count}, then {heard()}")
    expect_clean(outside, inside, recorder, lost_max=150)

    ng.request("unsubscribe", call_id=call.call_id, to_tag="a2")
    count = heard()
    eventually(lambda: all(heard()[leg] > count[leg] + 25 for leg in ("a1", "b1")),
               "the others hear on")
    expect(heard()["a2"] <= count["a2"] + 1, "who has unsubscribed hears on")
    expect(daemon.sessions() == 3, f"{daemon.sessions()} sessions")
    call.delete()
    eventually(lambda: daemon.sessions() == 0, "the call takes all with it")
    try:
        ng.request("unsubscribe", call_id=call.call_id, to_tag="a1")
        expect(False, "a subscription outlives its call")
    except NgError:
        pass


@case
def published_media_reaches_many(scratch):
    """A publisher outside, four plain receivers inside; one that goes silent is none's trouble."""
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    ng = daemon.ng
    source = Side(OUTSIDE, 30000, direction="sendonly")
    reply = ng.request("publish", call_id="stage", from_tag="speaker", sdp=source.sdp(),
                       direction=["outside"])
    expect(source.hears(reply["sdp"]).direction == "recvonly", reply["sdp"])
    voice = RtpSocket(scratch, source)
    Talk(scratch).begin(voice, lambda n: packet(n, b"\x11" * 160))
    eventually(lambda: daemon.total("turnpike_relay_packets_dropped_total",
                                    reason="not_heard") > 0, "nobody listens yet")

    class Stage:
        call_id = "stage"

    listeners = []
    for n in range(4):
        side = Side(INSIDE, 25000 + 2 * n, direction="recvonly")
        listeners.append(RtpSocket(scratch, side))
        _subscribe(ng, Stage, side, f"l{n}", from_tag="speaker")
    for listener in listeners:
        data = listener.receive()
        expect(data is not None and payload_of(data) == b"\x11" * 160, f"{listener.port} hears")
    listeners[0].send(packet(1, b"\x22" * 160), listeners[0].side.given.rtp)
    listeners[0].send(receiver_report(), listeners[0].side.given.rtcp)
    eventually(lambda: daemon.total("turnpike_relay_packets_dropped_total",
                                    reason="from_subscriber") >= 1, "a listener is not heard")
    expect(voice.receive(0.2) is None, "the publisher is sent something")
    listed = ng.request("list")["calls"]
    expect(listed == ["stage"], listed)
    sessions = json.loads(daemon.api("/v1/sessions"))["sessions"]
    expect(len(sessions) == 5, sessions)
    ng.request("delete", call_id="stage")
    eventually(lambda: daemon.sessions() == 0, "all of it ends")


@case
def ends_of_two_calls_are_connected(scratch):
    """Two callers on SRTP, who called two phones inside, talk to each other instead."""
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    ng = daemon.ng
    one = Call(ng, Side(OUTSIDE, 30000, (GCM,)), Side(INSIDE, 20000)).set_up()
    two = Call(ng, Side(OUTSIDE, 30002, (CM,)), Side(INSIDE, 20002)).set_up()
    callers = Peer(scratch, OUTSIDE)
    callers.add(one.a, 70001, 70002, leg="one")
    callers.add(two.a, 70002, 70001, leg="two")
    ng.request("connect", call_id=one.call_id, from_tag=one.from_tag, to_call_id=two.call_id,
               to_tag=two.from_tag)
    callers.start()

    def heard():
        return {leg: counts["received"] for leg, counts in callers.report().items()}

    eventually(lambda: min(heard().values()) > 50, lambda: f"callers hear each other: {heard()}")
    # Who was called is not heard any more.
    phone = RtpSocket(scratch, one.b)
    phone.send(packet(1))
    dropped = "turnpike_relay_packets_dropped_total"
    eventually(lambda: daemon.total(dropped, reason="wrong_source") >= 1, "the phone is not heard")
    expect_clean(callers)
    two.delete()

    def rests():
        before, until = heard()["one"], time.monotonic() + 0.33
        eventually(lambda: time.monotonic() > until, "time passes")
        return heard()["one"] == before

    eventually(rests, "the caller who is left hears nothing")
    expect(daemon.sessions() == 1, "the other call goes on")
    one.delete()
    eventually(lambda: daemon.total("turnpike_relay_sessions") == 0, "all ports are given back")



run()
