"""A web phone through the whole edge: Chromium's own WebSocket to the generated sidecar, its DTLS,
ICE and SRTP to turnpiked, and a phone inside that speaks plain RTP."""
# time limit: 300 s

import secrets
import ssl
import sys
import time

import edge as edges
import sip
from edge import CLEAR, DOMAIN, PASSWORDS, WSS, Edge, case, network
from lib.case import eventually, expect
from lib.web_phone import FROM_BROWSER_HZ, FROM_INSIDE_HZ, InsidePhone, Page

PAGE_PORT = 8444
ORIGIN = f"https://{network.OUTSIDE.v4}:{PAGE_PORT}"
SERVER = """
import http.server, socketserver, ssl, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Type', 'text/html')
        self.end_headers()
        self.wfile.write(b'<!doctype html><title>phone</title>')
    def log_message(self, *_): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3] + '.pem', sys.argv[3] + '.key')
server = socketserver.ThreadingTCPServer((sys.argv[1], int(sys.argv[2])), Page)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
OPEN = """
const socket = window.sip = new WebSocket(a, 'sip');
window.inbox = [];
socket.onmessage = ({data}) => inbox.push(data);
await new Promise((opened, refused) => {
  socket.onopen = opened;
  socket.onclose = ({code}) => refused(new Error('closed with ' + code));
});
return socket.protocol;
"""


class PageAgent(sip.Agent):
    """A sip.Agent whose messages go through the page's WebSocket."""

    def __init__(self, page):  # no socket of its own
        self.page, self.transport, self.received = page, "wss", []
        self.answers_options, self.name = False, secrets.token_hex(6) + ".invalid"

    def connect(self, url):
        expect(self.page.browser.run(OPEN, url) == "sip", "the subprotocol is sip")
        return self

    def via(self):
        return f"SIP/2.0/WSS {self.name};branch=z9hG4bK{secrets.token_hex(8)}"

    def contact(self, user):
        return f"<sip:{user}@{self.name};transport=ws;ob>"

    def send(self, data, to=None):
        self.page.browser.run("sip.send(a)", data.decode())

    def _read(self, timeout):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if messages := self.page.browser.run("return inbox.splice(0)"):
                for text in messages:
                    self._take(sip.Message(text.encode()), None)
                return True
        return False


def edge_with_page(scratch, allowed):
    """The edge, and the page of ORIGIN in a browser; `allowed`: whose pages may connect."""
    # A browser takes its time, in which the server inside answers no OPTIONS.
    edge = Edge(scratch, {"sip": {"websocket_origins": [allowed], "keepalive_seconds": 60}},
                real_relay=True)
    edge.certificates.make("page", f"IP:{network.OUTSIDE.v4}")
    scratch.spawn(*network.OUTSIDE.command(
        sys.executable, "-c", SERVER, network.OUTSIDE.v4, PAGE_PORT,
        edge.certificates.folder / "page"))
    context = ssl.create_default_context(cafile=str(edge.certificates.folder / "ca.pem"))
    eventually(lambda: _serves(context), "the page's server answers")
    return edge, Page(scratch, ORIGIN + "/")


def web_edge(scratch):
    """The same with a registered web phone of alice."""
    edge, page = edge_with_page(scratch, ORIGIN)
    alice = PageAgent(page).connect(f"wss://{WSS[0]}:{WSS[1]}/")
    answer = edges.register(alice, "alice", PASSWORDS["alice"])
    expect(answer.status == 200, f"REGISTER: {answer.start}")
    return edge, page, alice


def _serves(context):
    try:
        with network.OUTSIDE.sockets():
            probe = sip.socket.socket()
        with probe:
            probe.connect((network.OUTSIDE.v4, PAGE_PORT))
            context.wrap_socket(probe, server_hostname=network.OUTSIDE.v4).close()
        return True
    except OSError:
        return False


def both_hear(page, name, phone):
    page.connects(name)
    phone.hears_tone(FROM_BROWSER_HZ)
    page.hears_tone(name, FROM_INSIDE_HZ)


def hang_up(edge, by, other, to=None):
    by.request("BYE", to=to)
    sip.reply(other.agent, other.agent.expect("BYE"), 200, "OK")
    expect(by.agent.final(method="BYE").status == 200, "BYE is answered")
    eventually(lambda: edge.daemon.sessions() == 0, "the ports are given back")


@case.case
def a_web_phone_calls_a_phone_inside(scratch):
    edge, page, alice = web_edge(scratch)
    pbx, phone = edge.inside_server(), InsidePhone(scratch)
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}",
                        page.offer("call", FROM_BROWSER_HZ))
    asked = pbx.expect("INVITE")
    phone.side.hears(asked.body)
    expect(phone.side.given.profile == "RTP/AVP", phone.side.given.profile)
    sip.reply(pbx, asked, 200, "OK", "6001", phone.side.sdp(), to_tag="6001")
    answer = alice.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    calling = edges.caller_side(alice, "alice", sent, answer)
    calling.request("ACK", cseq=calling.cseq)
    pbx.expect("ACK")
    phone.talks()
    page.hears_answer("call", answer.body)
    both_hear(page, "call", phone)
    hang_up(edge, calling, edges.called_side(pbx, "6001", asked, "6001"))


@case.case
def a_phone_inside_calls_a_web_phone(scratch):
    edge, page, alice = web_edge(scratch)
    phone = InsidePhone(scratch)
    carol = edge.inside()
    sent = sip.request(carol, "INVITE", f"sip:alice@{DOMAIN}", f"sip:6002@{DOMAIN}", user="6002",
                       body=phone.side.sdp())
    asked = alice.expect("INVITE")
    sip.reply(alice, asked, 200, "OK", "alice", page.answer("call", FROM_BROWSER_HZ, asked.body),
              to_tag="alice")
    answer = carol.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    calling = edges.caller_side(carol, "6002", sent, answer)
    calling.request("ACK", cseq=calling.cseq, to=CLEAR)
    alice.expect("ACK")
    phone.side.hears(answer.body)
    phone.talks()
    both_hear(page, "call", phone)
    hang_up(edge, edges.called_side(alice, "alice", asked, "alice"), calling)


@case.case
def a_page_of_a_foreign_origin_is_kept_out(scratch):
    edge, page = edge_with_page(scratch, "https://phone.example.com")
    try:
        PageAgent(page).connect(f"wss://{WSS[0]}:{WSS[1]}/")
    except case.Failed as refused:
        expect("closed with 1006" in str(refused), str(refused))
    else:
        raise case.Failed("the page was let in")
    expect(edge.counter("refused_origin") == 1, "the refusal is counted")


case.run()
