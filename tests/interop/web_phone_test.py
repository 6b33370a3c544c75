"""A stock SIP library (JsSIP) in a real browser (Chromium), behind a NAT from which nothing inside
can be reached, and a stock phone (baresip) inside: through the generated sidecar over WebSocket,
DTLS and ICE to turnpiked, to plain RTP. Each end must hear the other's tone.
"""
# time limit: 300 s
# from npm: tests/support/npm_packages

import re
import socket
import time

from lib.case import Failed, case, eventually, expect, note, run
from lib import turn
from lib.network import HOME, INSIDE, OUTSIDE, home
from lib.sip import Edge, INSIDE_TONE_HZ, NUMBER, call_uri, hear
from lib.sip_page import SipPage, WSS_PORT, origin, serve_page
from lib.web_phone import FROM_BROWSER_HZ

PAGE_PORT, FOREIGN_PORT = 8444, 8445
# baresip has its tone in 8 kHz and resamples it.
OPUS = {"account": {"codecs": "opus/48000/2"}, "modules": ["opus"],
        "config_extra": "ausrc_srate 8000\nausrc_channels 1\nauplay_srate 8000\nauplay_channels 1"}
PICTURES = {"account": {"extra": ";video_codecs=vp8"}, "modules": ["vp8", "fakevideo"],
            "config_extra": "video_source fakevideo,nil\nvideo_display fakevideo,nil\n"
                            "video_size 320x240\nvideo_bitrate 256000\nvideo_fps 15"}


def is_reached(place, address):
    """Whether somebody there says that the port is closed."""
    with place.sockets():
        probe = socket.socket()
    with probe:
        probe.settimeout(0.5)
        try:
            probe.connect((address, 9))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True


def edge_and_page(scratch, sections=None, **inside):
    """The default edge with WebSockets, alice's page in a browser at HOME, a phone inside."""
    edge = Edge(scratch, {"sip": {"wss_port": WSS_PORT, "websocket_origins": [origin(PAGE_PORT)]},
                          **(sections or {})})
    scratch.enter(home())
    expect(is_reached(HOME, OUTSIDE.host_v4), "the browser's host reaches us")
    expect(not is_reached(HOME, INSIDE.v4), "the browser's host reaches the phone inside")
    serve_page(scratch, edge.ca_file.with_name("server"), PAGE_PORT, FOREIGN_PORT)
    phone = edge.phone_inside(**inside)
    return edge, SipPage(scratch, PAGE_PORT, HOME).registers("alice"), phone


def talk(page, name, phone, address=OUTSIDE.host_v4):
    """Both hear each other, the browser by DTLS with us and nobody else."""
    page.connects(name)
    page.hears_tone(name, INSIDE_TONE_HZ)
    hear(phone)
    transport = page.statistics(name)["transport"]
    expect(transport["dtlsState"] == "connected" and "GCM" in transport["srtpCipher"],
           f"{transport}")
    expect(page.selected(name) == address, f"it sends to {page.selected(name)}")


def call_out(page, name, phone, hz=FROM_BROWSER_HZ, video=False, **there):
    page.calls(name, call_uri(NUMBER), hz, video)
    phone.wait_established(5)
    talk(page, name, phone, **there)


def call_in(page, name, phone, hz=FROM_BROWSER_HZ, video=False, **there):
    phone.dial(call_uri("alice"))
    page.answers(name, hz, video)
    phone.wait_established(5)
    talk(page, name, phone, **there)


def has_heard(edge, phone, hz=FROM_BROWSER_HZ):
    """After the call."""
    phone.wait_closed(5)
    heard = phone.heard()
    expect(heard.holds(hz), f"the phone inside should have heard {hz} Hz: {heard}")
    note(f"the phone inside heard {heard.frequency_hz:.0f} Hz for {heard.tone_seconds:.1f} s")
    eventually(lambda: edge.daemon.sessions() == 0, "the ports are given back")


def one_call_each_way(scratch, **inside):
    edge, page, phone = edge_and_page(scratch, **inside)
    call_out(page, "out", phone)
    page.ends("out")
    has_heard(edge, phone)
    call_in(page, "in", phone)
    phone.hang_up()
    page.is_over("in")
    has_heard(edge, phone)


@case
def a_web_phone_calls_a_phone_of_g711_and_is_called(scratch):
    one_call_each_way(scratch)


@case
def a_web_phone_calls_a_phone_of_opus_and_is_called(scratch):
    one_call_each_way(scratch, **OPUS)


@case
def ten_calls_in_a_row(scratch):
    edge, page, phone = edge_and_page(scratch)
    for i in range(10):
        name, hz = f"call-{i}", 600 + 100 * i
        (call_in if i % 2 else call_out)(page, name, phone, hz)
        if i % 4 < 2:
            page.ends(name)
        else:
            phone.hang_up()
            page.is_over(name)
        has_heard(edge, phone, hz)
    done = edge.daemon.total("turnpike_relay_dtls_handshakes_total", result="established")
    expect(done == 10, f"{done} handshakes")


def received(page, name):
    return page.statistics(name)["inbound-rtp audio"]["packetsReceived"]


def is_silent(how_many, who):
    """No packet more for a third of a second."""
    def rests():
        before, until = how_many(), time.monotonic() + 0.33
        eventually(lambda: time.monotonic() > until, "time passes")
        return how_many() == before
    eventually(rests, f"{who} hears nothing")


@case
def either_end_holds_and_resumes(scratch):
    edge, page, phone = edge_and_page(scratch)
    call_out(page, "call", phone)
    page.holds("call")
    is_silent(lambda: received(page, "call"), "the browser")  # JsSIP goes on sending, silence
    page.resumes("call")
    talk(page, "call", phone)
    phone.hold()
    page.is_held("call")
    is_silent(lambda: phone.rtp_statistics()["received"], "the phone inside")
    phone.resume()
    page.is_resumed("call")
    talk(page, "call", phone)
    done = edge.daemon.total("turnpike_relay_dtls_handshakes_total", result="established")
    expect(done == 1, f"{done} handshakes: the association is the first one still")
    page.ends("call")
    has_heard(edge, phone)


@case
def a_change_of_network_is_an_ice_restart(scratch):
    edge, page, phone = edge_and_page(scratch)
    call_out(page, "call", phone)
    page.restarts_ice("call")
    talk(page, "call", phone)
    phone.hang_up()
    page.is_over("call")
    has_heard(edge, phone)


def pictures_inside(phone):
    found = re.search(r"vidisp: .* frames=(\d+)", phone.command("video_debug"))
    return int(found.group(1)) if found else 0


@case
def a_camera_is_seen_inside_and_a_picture_comes_back(scratch):
    edge, page, phone = edge_and_page(scratch, **PICTURES)
    call_out(page, "call", phone, video=True)
    page.sees_pictures("call")
    eventually(lambda: pictures_inside(phone) > 25,
               lambda: f"the phone inside sees {pictures_inside(phone)} pictures", every=0.2)
    page.ends("call")
    has_heard(edge, phone)


def calls_by_turn(scratch, outside, address):
    """One each way, from where no UDP gets out; the TURN server is that of the edge itself."""
    edge, page, phone = edge_and_page(
        scratch, {"interface.outside": outside, **turn.realm(scratch.folder)})
    turn.let_no_udp_out(HOME)
    page.goes_by(**turn.tcp_alone(OUTSIDE.host_v4))
    call_out(page, "out", phone, address=address)
    page.ends("out")
    has_heard(edge, phone)
    call_in(page, "in", phone, address=address)
    phone.hang_up()
    page.is_over("in")
    has_heard(edge, phone)
    for to in ("peer", "client"):
        relayed = edge.daemon.total("turnpike_turn_packets_total", to=to, transport="tcp")
        expect(relayed > 100, f"{relayed} packets by TURN to the {to}")


@case
def where_only_tcp_gets_through_calls_go_by_turn(scratch):
    calls_by_turn(scratch, {}, OUTSIDE.host_v4)


@case
def calls_go_by_turn_of_an_edge_behind_nat(scratch):
    advertised = "203.0.113.9"  # where nobody finds us: all goes by the relayed address
    calls_by_turn(scratch, {"addresses": [OUTSIDE.host_v4], "advertised": [advertised]},
                  advertised)


@case
def a_page_of_a_foreign_origin_is_kept_out(scratch):
    edge_and_page(scratch)  # where a page of the allowed origin has registered
    try:
        SipPage(scratch, FOREIGN_PORT).registers("alice")
    except Failed as refused:
        expect("closed with 1006" in str(refused), str(refused))
    else:
        raise Failed("the page was let in")


run()
