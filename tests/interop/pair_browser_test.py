"""A real browser (Chromium) calls through a traversal pair: its ICE ends at the edge, its DTLS and
SRTP at the core. Tones at both ends are the judges.
"""
# time limit: 200 s

from lib import turn
from lib.case import case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE
from lib.pair import EDGE, Pair
from lib.web_phone import FROM_BROWSER_HZ, FROM_INSIDE_HZ, InsidePhone, Page, VideoPhone

INWARDS = {"ICE": "remove", "transport_protocol": "RTP/AVP", "rtcp_mux": ["demux"]}
OUTWARDS = {"ICE": "force", "transport_protocol": "UDP/TLS/RTP/SAVPF", "rtcp_mux": ["offer"]}


class Call:
    def __init__(self, pair, name):
        self._ng, self.call_id = pair.ng, name

    def offer(self, sdp, direction, **flags):
        return self._ng.request("offer", sdp=sdp, call_id=self.call_id, from_tag="a",
                                direction=direction, replace=["origin", "session-connection"],
                                **flags)["sdp"]

    def answer(self, sdp):
        return self._ng.request("answer", sdp=sdp, call_id=self.call_id, from_tag="a",
                                to_tag="b", replace=["origin", "session-connection"])["sdp"]


def _pair(scratch, holders=False, of_edge=None):
    pair = Pair(scratch, holders).add_ends()
    pair.edge.more_sections = of_edge or {}
    pair.edge.configure()
    return pair.start().wait_flows()


def _call_in(scratch, pair, page):
    phone = InsidePhone(scratch)
    call = Call(pair, "in")
    phone.side.hears(call.offer(page.offer("caller", FROM_BROWSER_HZ), ["outside", "inside"],
                                **INWARDS))
    answer = call.answer(phone.side.sdp())
    phone.talks()
    page.hears_answer("caller", answer)
    page.connects("caller")
    phone.hears_tone(FROM_BROWSER_HZ)
    page.hears_tone("caller", FROM_INSIDE_HZ)
    return phone


@case
def a_browser_calls_a_phone_inside_and_the_edge_has_no_key(scratch):
    pair = _pair(scratch)
    _call_in(scratch, pair, Page(scratch))
    for sdp in pair.ng.zone_sdp[:1]:
        expect("a=ice-" not in sdp and "a=candidate" not in sdp, f"ICE goes in: {sdp}")
        expect("a=fingerprint" in sdp, "no fingerprint goes in")
    text = pair.edge.session_text("in-in")
    expect("keyless: dtls" in text, text)
    expect(pair.edge.metric("turnpike_relay_dtls_handshakes_total", result="established") == 0,
           "a handshake ended at the edge")
    expect(pair.core.metric("turnpike_relay_dtls_handshakes_total", result="established") == 1,
           "no handshake ended at the core")
    expect(pair.dropped_from_edge() == 0, "the edge has sent what is no reply")


@case
def a_phone_inside_calls_a_browser(scratch):
    pair = _pair(scratch)
    page, phone = Page(scratch), InsidePhone(scratch)
    call = Call(pair, "out")
    offer = call.offer(phone.side.sdp(), ["inside", "outside"], **OUTWARDS)
    phone.side.hears(call.answer(page.answer("callee", FROM_BROWSER_HZ, offer)))
    phone.talks()
    page.connects("callee")
    phone.hears_tone(FROM_BROWSER_HZ)
    page.hears_tone("callee", FROM_INSIDE_HZ)


@case
def where_only_tcp_gets_out_the_edges_turn_server_is_the_way(scratch):
    pair = _pair(scratch, of_edge=turn.realm(scratch.folder))
    turn.let_no_udp_out(OUTSIDE)
    page = Page(scratch)
    page.configure(**turn.tcp_alone(EDGE))
    _call_in(scratch, pair, page)
    for to in ("peer", "client"):
        relayed = pair.edge.metric("turnpike_turn_packets_total", to=to, transport="tcp")
        expect(relayed > 20, f"{relayed} packets by TURN to the {to}")
    expect(pair.core.metric("turnpike_relay_dtls_handshakes_total", result="established") == 1,
           "no handshake ended at the core")


@case
def a_page_with_one_transport_has_sound_and_pictures(scratch):
    pair = _pair(scratch)
    page = Page(scratch)
    page.configure(bundlePolicy="max-bundle")
    phone, other = VideoPhone(scratch), VideoPhone(scratch, 20030)
    call = Call(pair, "in")
    phone.hears(call.offer(page.offer("caller", FROM_BROWSER_HZ, True), ["outside", "inside"],
                           **INWARDS))
    answer = call.answer(phone.sdp())
    phone.talks()
    phone.shows()
    page.hears_answer("caller", answer)
    call = Call(pair, "out")
    offer = call.offer(other.sdp(), ["inside", "outside"], **OUTWARDS)
    other.hears(call.answer(page.answer("callee", FROM_BROWSER_HZ, offer, True)))
    other.talks()
    other.shows()
    for name, end in (("caller", phone), ("callee", other)):
        page.connects(name)
        end.hears_tone(FROM_BROWSER_HZ)
        page.hears_tone(name, FROM_INSIDE_HZ)
        page.sees_pictures(name)
    expect(pair.core.metric("turnpike_relay_dtls_handshakes_total", result="established") == 2,
           "each call has one association for both m-lines")
    text = pair.edge.session_text("in-in")
    expect("shared_transport" in text or "transport of another m-line" in text, text)


@case
def two_browsers_outside_talk_over_the_core(scratch):
    pair = _pair(scratch)
    page = Page(scratch)
    call = Call(pair, "both")
    offer = call.offer(page.offer("caller", 1000, True), ["outside", "outside"], **OUTWARDS)
    page.hears_answer("caller", call.answer(page.answer("callee", 440, offer, True)))
    for name, hz in (("caller", 440), ("callee", 1000)):
        page.connects(name)
        page.hears_tone(name, hz)
        page.sees_pictures(name)
    expect(pair.core.metric("turnpike_relay_dtls_handshakes_total", result="established") == 2,
           "each browser has its own keys with the core")
    expect(pair.dropped_from_edge() == 0, "the edge has sent what is no reply")


@case
def a_browsers_call_goes_on_when_either_node_is_killed(scratch):
    pair = _pair(scratch, holders=True)
    page = Page(scratch)
    phone = _call_in(scratch, pair, page)
    for node in (pair.edge, pair.core):
        node.kill()
        node.start()
        pair.wait_up()
        pair.wait_flows()
        before = phone.heard.stat().st_size
        eventually(lambda: phone.heard.stat().st_size > before + 16000,
                   f"two seconds of media after {node.role} came back", 20)
        phone.hears_tone(FROM_BROWSER_HZ)
        page.hears_tone("caller", FROM_INSIDE_HZ)


if __name__ == "__main__":
    run()
