"""SRTP between programs that are not ours, keyed by SDES through NG: bridging to plain RTP and
between suites, both address families, RTCP on its own port and on the RTP port.
"""

from lib import call as calls
from lib.call import Call, Side
from lib.case import case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.peer import Peer, connect, expect_clean
from lib.programs import FFMPEG, GSTREAMER, play
from lib.turnpiked import Turnpiked

CM = "AES_CM_128_HMAC_SHA1_80"


def _both_ways(scratch, a, b, program_a, program_b):
    """`a` offers, `b` answers; each plays to the other with its program (sender, receiver)."""
    scratch.enter(topology())
    call = Call(Turnpiked(scratch).ng, a, b).set_up()
    for side in (a, b):
        wanted = "RTP/SAVP" if side.suites else "RTP/AVP"
        expect(side.given.profile == wanted, f"{side.place.name} was given {side.given.profile}")
        expect(side.given.address == side.place.host(side.version),
               f"{side.place.name} was given {side.given.address}")
    play(scratch, a, b, program_a[0], program_b[1], 1)
    play(scratch, b, a, program_b[0], program_a[1], 2)
    return call


@case
def ffmpeg_srtp_outside_plain_inside(scratch):
    _both_ways(scratch, Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000), FFMPEG, GSTREAMER)


@case
def plain_inside_calls_gcm_outside(scratch):
    _both_ways(scratch, Side(INSIDE, 20000), Side(OUTSIDE, 30000, ("AEAD_AES_256_GCM",)),
               FFMPEG, GSTREAMER)


@case
def gcm_outside_other_suite_inside(scratch):
    a, b = Side(OUTSIDE, 30000, ("AEAD_AES_128_GCM",)), Side(INSIDE, 20000, (CM,))
    _both_ways(scratch, a, b, GSTREAMER, FFMPEG)
    expect(a.chosen()[0] != b.chosen()[0], "the legs have the same suite")
    expect(a.chosen()[2] not in (b.chosen()[1], b.chosen()[2]), "the legs share a key")


@case
def ipv6_srtp(scratch):
    _both_ways(scratch, Side(OUTSIDE, 30000, (CM,), version=6), Side(INSIDE, 20000, version=6),
               GSTREAMER, FFMPEG)


@case
def ipv6_outside_ipv4_inside(scratch):
    _both_ways(scratch, Side(OUTSIDE, 30000, (CM,), version=6), Side(INSIDE, 20000),
               FFMPEG, GSTREAMER)


@case
def ipv4_outside_ipv6_inside(scratch):
    _both_ways(scratch, Side(OUTSIDE, 30000), Side(INSIDE, 20000, version=6), FFMPEG, FFMPEG)


def _libsrtp_calls(scratch, pairs, packets=50):
    """Calls between pairs of sides at once, media by libsrtp2 at both ends, all of it judged."""
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    made = [Call(daemon.ng, a, b).set_up() for a, b in pairs]
    for call in made:
        connect(call, outside, inside)
    outside.start()
    inside.start()
    for peer in (outside, inside):
        eventually(lambda: all(leg["received"] >= packets and leg["received_rtcp"] >= 2
                               for leg in peer.report().values()),
                   lambda: f"every leg hears {packets} packets: {peer.report()}")
    expect_clean(outside, inside)
    return daemon, made, outside, inside


@case
def every_suite_to_plain_with_rtcp(scratch):
    _libsrtp_calls(scratch, [
        (Side(OUTSIDE, 30000 + 2 * i, (suite,)), Side(INSIDE, 20000 + 2 * i))
        for i, suite in enumerate(calls.KEY_BYTES)])


@case
def every_suite_to_every_other(scratch):
    suites = list(calls.KEY_BYTES)
    _libsrtp_calls(scratch, [
        (Side(OUTSIDE, 30000 + 2 * (6 * i + j), (a,)), Side(INSIDE, 20000 + 2 * (6 * i + j), (b,)))
        for i, a in enumerate(suites) for j, b in enumerate(suites) if a != b])


@case
def rtcp_mux_on_one_side_only(scratch):
    pairs = [
        (Side(OUTSIDE, 30000, (CM,), mux=True), Side(INSIDE, 20000)),
        (Side(OUTSIDE, 30002, (CM,)), Side(INSIDE, 20002, mux=True)),
        (Side(OUTSIDE, 30004, (CM,), mux=True), Side(INSIDE, 20004, mux=True)),
    ]
    _, made, _, _ = _libsrtp_calls(scratch, pairs)
    for call in made:
        for side in (call.a, call.b):
            expect(side.given.mux == side.mux,
                   f"{side.place.name}: rtcp-mux {side.given.mux}, wanted {side.mux}")


@case
def query_and_metrics_tell_what_was_forwarded(scratch):
    daemon, (call,), outside, inside = _libsrtp_calls(
        scratch, [(Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000))])
    outside.pause()
    inside.pause()
    sent = outside.total("sent") + inside.total("sent")
    eventually(lambda: call.query()["totals"]["RTP"]["packets"] == sent,
               lambda: f"query counts {sent} RTP packets: {call.query()['totals']}")
    totals = call.query()["totals"]
    expect(totals["RTCP"]["packets"] == outside.total("sent_rtcp") + inside.total("sent_rtcp"),
           f"RTCP: {totals}")
    note(f"totals {totals}")


run()
