"""A web phone that we did not write: JsSIP in a page of Chromium, which comes from a web server.

    serve_page(scratch, certificate, ORIGIN_PORT)
    alice = SipPage(scratch, place).open(ORIGIN_PORT).registers(user, password)
    alice.calls("first", "sip:1000@edge.test", 1000)

Hides: the page (tests/interop/page), how JsSIP is asked. Is not a judge of calls.
"""

import shutil
import socket
import ssl
import sys

from .case import ROOT, Failed, eventually
from .network import OUTSIDE
from .sip import DOMAIN, PASSWORD
from .web_phone import Page

LIBRARY = ROOT / "build" / "npm" / "jssip.js"
FOLDER = ROOT / "tests" / "interop" / "page"
WSS_PORT = 8443
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
SERVER = """
import functools, http.server, socketserver, ssl, sys
class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
address, port, folder, certificate = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate + '.pem', certificate + '.key')
socketserver.ThreadingTCPServer.request_queue_size = 32
server = socketserver.ThreadingTCPServer(
    (address, int(port)), functools.partial(Files, directory=folder))
# Hands are shaken in the connection's thread: who connects ahead of need and waits holds up nobody.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""


def origin(port):
    return f"https://{OUTSIDE.v4}:{port}"


def serve_page(scratch, certificate, *ports):
    """The page on each of these ports of OUTSIDE. `certificate`: path without .pem and .key."""
    if not LIBRARY.exists():
        raise Failed("build/npm/jssip.js is missing: run tests/support/npm_packages")
    folder = scratch.folder / "page"
    shutil.copytree(FOLDER, folder)
    shutil.copy(LIBRARY, folder)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for port in ports:
        scratch.spawn(*OUTSIDE.command(sys.executable, "-c", SERVER, OUTSIDE.v4, port, folder,
                                       certificate))
        eventually(lambda: _serves(context, port), "the page's server answers")


def _serves(context, port):
    try:
        with OUTSIDE.sockets():
            link = socket.create_connection((OUTSIDE.v4, port), 1)
        with context.wrap_socket(link):
            return True
    except OSError:
        return False


class SipPage(Page):
    """The page in a browser of its own. The names of calls are those of its RTCPeerConnections."""

    def __init__(self, scratch, port, place=OUTSIDE):
        url = origin(port) + "/index.html"
        super().__init__(scratch, url, place, CAMERA)

        def is_whole():
            if self.browser.run("return typeof phone") == "object":
                return True
            self.browser.open(url)  # a script did not come, which is not what is tested
            return False
        eventually(is_whole, "the page has its scripts", every=0.5)

    def registers(self, user, password=PASSWORD):
        self.browser.run("return await phone.register(a, b, c)",
                         f"wss://{OUTSIDE.host_v4}:{WSS_PORT}/", f"sip:{user}@{DOMAIN}", password)
        return self

    def goes_by(self, **configuration):
        """What RTCPeerConnections get as theirs from now on."""
        self.browser.run("phone.network = a", configuration)

    def calls(self, name, uri, hz, video=False):
        """Until the called has answered."""
        self.browser.run("await phone.call(a, b, c, d)", name, uri, hz, video)
        self._becomes(name, "established")

    def answers(self, name, hz, video=False):
        """Whoever calls next."""
        eventually(lambda: self.browser.run("return phone.ringing.length"), "it rings", 15)
        self.browser.run("await phone.answer(a, b, c)", name, hz, video)
        self._becomes(name, "established")

    def holds(self, name):
        self.browser.run("await phone.ask(a, 'hold')", name)
        self._becomes(name, "held by us")

    def resumes(self, name):
        self.browser.run("await phone.ask(a, 'unhold')", name)
        self._becomes(name, "established")

    def is_held(self, name):
        self._becomes(name, "held by the other end")

    def is_resumed(self, name):
        self._becomes(name, "established")

    def restarts_ice(self, name):
        self.browser.run("await phone.ask(a, 'renegotiate', "
                         "{rtcOfferConstraints: {iceRestart: true}})", name)

    def ends(self, name):
        """Hangs up."""
        self.browser.run("phone.calls[a].terminate()", name)

    def is_over(self, name):
        self._becomes(name, "ended")

    def sip_state(self, name):
        return self.browser.run("return phone.stateOf(a)", name)

    def _becomes(self, name, state):
        eventually(lambda: self.sip_state(name) == state,
                   lambda: f"{name} is {state}, not {self.sip_state(name)}", 15, every=0.1)
