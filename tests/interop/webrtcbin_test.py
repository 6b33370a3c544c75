"""Calls with GStreamer's webrtcbin, whose ICE (libnice) and DTLS-SRTP are neither ours nor a
browser's: both directions, active and passive, against plain RTP inside.
"""

import json
import signal

from lib import turn
from lib.case import case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.programs import wait_silent
from lib.turnpiked import Turnpiked
from lib.web_phone import FROM_BROWSER_HZ, FROM_INSIDE_HZ, InsidePhone, hears_tone
from lib.webrtcbin import GstPhone

INWARDS = {"direction": ["outside", "inside"], "ICE": "remove", "transport_protocol": "RTP/AVP",
           "rtcp_mux": ["demux"]}
OUTWARDS = {"direction": ["inside", "outside"], "ICE": "force",
            "transport_protocol": "UDP/TLS/RTP/SAVPF", "rtcp_mux": ["offer"]}


def _ask(daemon, command, sdp, place, **keys):
    return daemon.ng.request(
        command, sdp=sdp, call_id="webrtcbin", from_tag="a",
        replace=["origin", "session-connection"], received_from=["IP4", place.v4], **keys)["sdp"]


def _talk(daemon, outside, inside):
    """Both hear each other, by ICE and DTLS on the leg outside."""
    hears_tone(inside.scratch, outside.heard, FROM_INSIDE_HZ, "webrtcbin")
    inside.hears_tone(FROM_BROWSER_HZ)
    (listed,) = json.loads(daemon.api("/v1/sessions"))["sessions"]
    legs = json.loads(daemon.api(f"/v1/sessions/{listed['id']}"))["legs"]
    leg = next(leg for leg in legs.values() if leg["interface"] == "outside")
    note(f"{leg['suite']}, ICE {leg['ice']['state']}, DTLS {leg['dtls']['state']}")
    expect(leg["ice"]["state"] == "connected" and leg["dtls"]["state"] == "established", f"{leg}")


def _call_inside(scratch, daemon, *turn_server, **keys):
    outside = GstPhone(scratch, OUTSIDE, FROM_BROWSER_HZ, *turn_server)
    inside = InsidePhone(scratch)
    inside.side.hears(_ask(daemon, "offer", outside.offer(), OUTSIDE, **INWARDS, **keys))
    answer = _ask(daemon, "answer", inside.side.sdp(), INSIDE, to_tag="b")
    inside.talks()
    outside.hears_answer(answer)
    return outside, inside, answer


@case
def it_calls_a_phone_inside_and_falls_silent_with_the_daemon(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    outside, inside, answer = _call_inside(scratch, daemon)
    expect("a=setup:passive" in answer, f"we are not passive: {answer}")
    _talk(daemon, outside, inside)
    daemon.signal(signal.SIGSTOP)
    for heard in (outside.heard, inside.heard):
        wait_silent(heard)
    daemon.signal(signal.SIGCONT)
    _talk(daemon, outside, inside)
    daemon.ng.request("delete", call_id="webrtcbin", from_tag="a")
    eventually(lambda: daemon.sessions() == 0, "the ports are given back")


@case
def it_calls_a_phone_inside_and_we_begin_the_handshake(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    outside, inside, answer = _call_inside(scratch, daemon, DTLS="active")
    expect("a=setup:active" in answer, f"we are not active: {answer}")
    _talk(daemon, outside, inside)


@case
def by_the_turn_server_alone_it_calls_a_phone_inside(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch, turn.realm(scratch.folder))
    turn.let_no_udp_out(OUTSIDE, but_to_server=True)
    outside, inside, _ = _call_inside(
        scratch, daemon,
        f"turn://{turn.USER}:{turn.PASSWORD}@{OUTSIDE.host_v4}:{turn.SERVER_PORT}")
    _talk(daemon, outside, inside)
    for to in ("peer", "client"):
        relayed = daemon.total("turnpike_turn_packets_total", to=to)
        expect(relayed >= 50, f"{relayed:g} packets were relayed to the {to}")


@case
def a_phone_inside_calls_it(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    outside, inside = GstPhone(scratch, OUTSIDE, FROM_BROWSER_HZ), InsidePhone(scratch)
    offer = _ask(daemon, "offer", inside.side.sdp(), INSIDE, **OUTWARDS)
    answer = outside.answer(offer)
    inside.side.hears(_ask(daemon, "answer", answer, OUTSIDE, to_tag="b"))
    inside.talks()
    _talk(daemon, outside, inside)


run()
