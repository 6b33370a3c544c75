"""Calls of baresip phones through the generated sidecar: TLS outside, with SDES, DTLS-SRTP and ICE;
plain RTP inside."""
# time limit: 300 s

import json
import signal
import time

from lib import turn
from lib.case import case, eventually, expect, note, run
from lib.network import OUTSIDE
from lib.sip import Edge, NUMBER, call_uri, establish, expect_tones, hang_up, hear

SILENCE_MAX_MS = 100


@case
def tones_cross_in_calls_both_ways(scratch):
    edge = Edge(scratch)
    outside, inside = edge.phone_outside(), edge.phone_inside()
    for caller, called, uri in ((outside, inside, call_uri(NUMBER)),
                                (inside, outside, call_uri("alice"))):
        establish(caller, called, uri)
        expect(edge.daemon.sessions() == 1, f"{edge.daemon.sessions()} sessions")
        hear(outside, inside)
        expect(outside.suite() and not inside.suite(),
               f"outside {outside.suite() or 'clear'}, inside {inside.suite() or 'clear'}")
        hang_up(caller, called)
        expect_tones(outside, inside)
        eventually(lambda: edge.daemon.sessions() == 0, "the ports are given back")


def _leg_outside(edge):
    """What the API tells of the outside leg of the one session that there is."""
    sessions = json.loads(edge.daemon.api("/v1/sessions"))["sessions"]
    expect(len(sessions) == 1, f"{sessions}")
    session = json.loads(edge.daemon.api(f"/v1/sessions/{sessions[0]['id']}"))
    return next(leg for leg in session["legs"].values() if leg["interface"] == "outside")


def _talk_both_ways(edge, media, modules=(), inside_first=False, mux=True, extra=""):
    """Calls of a phone outside whose media is `media` to one inside, and back; what the API told of
    its leg each time."""
    outside = edge.phone_outside(media_encryption=media, modules=modules, rtcp_mux=mux,
                                 extra=extra)
    inside = edge.phone_inside()
    calls = [(outside, inside, call_uri(NUMBER)), (inside, outside, call_uri("alice"))]
    legs = []
    for caller, called, uri in reversed(calls) if inside_first else calls:
        establish(caller, called, uri)
        hear(outside, inside)
        legs.append(_leg_outside(edge))
        note(f"{caller.name} calls: {[legs[-1][key] for key in ('suite', 'ice', 'dtls')]}")
        hang_up(caller, called)
        expect_tones(outside, inside)
        eventually(lambda: edge.daemon.sessions() == 0, "the ports are given back")
    return legs


@case
def softphone_by_the_turn_server(scratch):
    edge = Edge(scratch, turn.realm(scratch.folder))
    turn.let_no_udp_out(OUTSIDE, but_to_server=True)
    by_turn = (f";medianat=turn;stunserver=turn:{OUTSIDE.host_v4};stunuser={turn.USER}"
               f";stunpass={turn.PASSWORD}")
    for leg in _talk_both_ways(edge, "srtp-mand", ["turn"], extra=by_turn):
        expect(f"{OUTSIDE.host_v4}:" in leg["remote"], f"the end is no relayed address: {leg}")
    for to in ("peer", "client"):
        relayed = edge.daemon.total("turnpike_turn_packets_total", to=to, transport="udp")
        expect(relayed >= 100, f"{relayed:g} packets were relayed to the {to}")


@case
def softphone_with_dtls(scratch):
    for leg in _talk_both_ways(Edge(scratch), "dtls_srtp"):
        expect(leg["dtls"]["state"] == "established", f"{leg}")


@case
def softphone_with_dtls_that_does_not_multiplex_has_no_rtcp(scratch):
    for leg in _talk_both_ways(Edge(scratch), "dtls_srtp", mux=False):
        expect(leg["dtls"]["state"] == "established", f"{leg}")
        expect(leg["keying"] == "DTLS, no RTCP" and leg["rtcp_sent"] == 0, f"{leg}")


@case
def softphone_with_dtls_is_called_first(scratch):
    edge = Edge(scratch, {"sip": {"outside_media": "dtls"}})
    for leg in _talk_both_ways(edge, "dtls_srtp", inside_first=True):
        expect(leg["dtls"]["state"] == "established", f"{leg}")


@case
def softphone_with_ice_and_sdes(scratch):
    # Called, a baresip 1.0 with both names a suite in its answer that is not the one it took.
    edge = Edge(scratch)
    outside = edge.phone_outside(media_encryption="srtp-mand;medianat=ice", modules=["ice"],
                                 rtcp_mux=True)
    inside = edge.phone_inside()
    establish(outside, inside, call_uri(NUMBER))
    hear(outside, inside)
    leg = _leg_outside(edge)
    expect(leg["ice"]["state"] == "connected" and outside.suite(), f"{leg}")
    hang_up(outside, inside)
    expect_tones(outside, inside)


@case
def softphone_with_ice_and_dtls(scratch):
    for leg in _talk_both_ways(Edge(scratch), "dtls_srtp;medianat=ice", ["ice"]):
        expect(leg["ice"]["state"] == "connected", f"{leg}")
        expect(leg["dtls"]["state"] == "established", f"{leg}")


@case
def either_side_hangs_up(scratch):
    edge = Edge(scratch)
    outside, inside = edge.phone_outside(), edge.phone_inside()
    for who in ((outside, inside), (inside, outside)):
        establish(outside, inside, call_uri(NUMBER))
        hear(outside, inside, packets=10)
        hang_up(*who)
        eventually(lambda: edge.daemon.sessions() == 0, "the ports are given back")


@case
def hold_and_resume(scratch):
    edge = Edge(scratch)
    outside, inside = edge.phone_outside(), edge.phone_inside()
    establish(outside, inside, call_uri(NUMBER))
    hear(outside, inside)
    for phone in (outside, inside):
        phone.hold()
        held = eventually(lambda: _flow_stopped(outside, inside), "media stops on hold")
        note(f"{phone.name} held: {held}")
        phone.resume()
        hear(outside, inside)
    expect(edge.daemon.sessions() == 1, f"{edge.daemon.sessions()} sessions")
    hang_up(outside, inside)
    expect_tones(outside, inside)


def _flow_stopped(*phones):
    """Which phones hear nothing for a third of a second, as text; empty when all hear."""
    before = [phone.rtp_statistics().get("received", 0) for phone in phones]
    until = time.monotonic() + 0.33
    eventually(lambda: time.monotonic() > until, "time passes")
    silent = [phone.name for phone, count in zip(phones, before)
              if phone.rtp_statistics().get("received", 0) == count]
    return ", ".join(silent)


@case
def cancelled_before_the_answer(scratch):
    edge = Edge(scratch)
    outside, inside = edge.phone_outside(), edge.phone_inside(answer="manual")
    outside.dial(call_uri(NUMBER))
    inside.wait_event("CALL_INCOMING", 10)
    eventually(lambda: edge.daemon.sessions() == 1, "ports are given while it rings")
    outside.hang_up()
    inside.wait_closed(5)
    eventually(lambda: edge.daemon.sessions() == 0, "the ports are given back")


@case
def declined_by_the_called(scratch):
    edge = Edge(scratch)
    outside, inside = edge.phone_outside(), edge.phone_inside(answer="manual")
    outside.dial(call_uri(NUMBER))
    inside.wait_event("CALL_INCOMING", 10)
    inside.hang_up()
    outside.wait_closed(5)
    eventually(lambda: edge.daemon.sessions() == 0, "the ports are given back")


def _refused(edge, phone, uri):
    """Dials; gives why the call was refused. No port may have been given."""
    opened = edge.daemon.total("turnpike_relay_sessions_opened_total")
    phone.dial(uri)
    reason = str(phone.wait_closed(10).get("param", ""))
    expect(edge.daemon.total("turnpike_relay_sessions_opened_total") == opened,
           f"ports were given for a call that was refused with {reason}")
    note(f"{uri}: {reason}")
    return reason


@case
def wrong_password_is_refused(scratch):
    edge = Edge(scratch)
    phone = edge.phone_outside(password="wrong", wait=False)
    failed = phone.wait_event("REGISTER_FAIL", 10)
    expect(any(code in str(failed.get("param")) for code in ("401", "403")), f"{failed}")
    edge.phone_inside()
    expect(any(code in _refused(edge, phone, call_uri(NUMBER)) for code in ("401", "403", "407")),
           "called with a wrong password")


@case
def unknown_user_is_refused(scratch):
    edge = Edge(scratch)
    edge.phone_inside()
    phone = edge.phone_outside("mallory", register=False)
    expect(any(code in _refused(edge, phone, call_uri(NUMBER)) for code in ("401", "403", "407")),
           "a stranger could call")


@case
def what_is_not_there_is_refused(scratch):
    edge = Edge(scratch)
    edge.phone_inside()
    phone = edge.phone_outside()
    _refused(edge, phone, call_uri("00442079460000"))
    _refused(edge, phone, call_uri("carol"))


@case
def client_without_srtp_is_refused_with_488(scratch):
    edge = Edge(scratch)
    edge.phone_inside()
    phone = edge.phone_outside(media_encryption="")
    expect("488" in _refused(edge, phone, call_uri(NUMBER)), "not 488")


@case
def stopped_daemon_silences_the_tone_while_sip_stays_up(scratch):
    edge = Edge(scratch)
    outside, inside = edge.phone_outside(), edge.phone_inside()
    establish(outside, inside, call_uri(NUMBER))
    hear(outside, inside)
    edge.daemon.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    counts = {phone: phone.rtp_statistics()["received"] for phone in (outside, inside)}
    until = stopped + 1.0
    eventually(lambda: time.monotonic() > until, "a second passes")
    for phone, count in counts.items():
        more = phone.rtp_statistics()["received"] - count
        # At 50 packets a second: what may still be under way within 100 ms.
        expect(more <= SILENCE_MAX_MS // 20, f"{phone.name} heard {more} packets after the stop")
        note(f"{phone.name} heard {more} packets in the second after the stop")
    expect(not outside.events_of("CALL_CLOSED") and not inside.events_of("CALL_CLOSED"),
           "the call was ended")
    carol = edge.phone_outside("carol")  # SIP still registers users
    carol.stop()
    edge.daemon.signal(signal.SIGCONT)
    hear(outside, inside)
    hang_up(outside, inside)


@case
def sigterm_drains_and_says_so(scratch):
    edge = Edge(scratch, {"node": {"drain_timeout_seconds": 60}})
    outside, inside = edge.phone_outside(), edge.phone_inside()
    establish(outside, inside, call_uri(NUMBER))
    hear(outside, inside)
    edge.daemon.expects_end = True
    edge.daemon.signal(signal.SIGTERM)
    eventually(lambda: "event=drain " in edge.daemon.log_text(), "the log tells of draining")
    hear(outside, inside)
    carol = edge.phone_outside("carol")
    reason = _refused(edge, carol, call_uri(NUMBER))
    expect("503" in reason or "480" in reason, f"a new call is refused with {reason}")
    expect(edge.daemon.process.poll() is None, "the daemon did not wait for the call")
    hang_up(outside, inside)
    code = edge.daemon.process.wait(10)
    expect(code == 0, f"ended with {code}")
    expect("drained" in edge.daemon.log_text(), "the log does not tell that it drained")
    expect_tones(outside, inside)


@case
def media_goes_on_when_kamailio_is_killed(scratch):
    edge = Edge(scratch)
    outside, inside = edge.phone_outside(), edge.phone_inside()
    establish(outside, inside, call_uri(NUMBER))
    hear(outside, inside)
    edge.kill_kamailio()
    hear(outside, inside, packets=150)
    expect(edge.daemon.sessions() == 1, f"{edge.daemon.sessions()} sessions")
    edge.start_kamailio()
    carol = edge.phone_outside("carol")
    carol.stop()
    hear(outside, inside)


run()
