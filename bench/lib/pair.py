"""A traversal pair as what is measured: edge and core on the relay's core, the process of one of
them observed. The other one works beside it, so delay and loss are of both.

Hides: both configurations, certificates, and that a call is asked for at two nodes: the generator
speaks NG with one relay.
"""

import contextlib
import select
import socket
import subprocess
import sys
import threading
import time

from . import ROOT, network, relays

sys.path.append(str(ROOT / "tests" / "interop" / "lib"))
import netns  # noqa: E402  (relays.py has its folder on the path)
import ng  # noqa: E402  (found through the line above)
from pair_node import to_toml, zone_sections  # noqa: E402  (as netns)

EDGE_NG, CORE_NG = relays.NG_PORT + 1, relays.NG_PORT + 2
ZONE_PORT = 7001


class JoinedNg(threading.Thread):
    """NG on the generator's port: each request goes to the edge and then to the core, an answer
    the other way round.
    """

    def __init__(self, space):
        super().__init__(daemon=True)
        with netns.inside(space.name):
            self._socket = self._bound(relays.NG_PORT)
            self._nodes = {port: self._connected(port) for port in (EDGE_NG, CORE_NG)}
        self._end, self._ended = socket.socketpair()
        self._serial = 0

    @staticmethod
    def _bound(port):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        made.bind(("127.0.0.1", port))
        return made

    @staticmethod
    def _connected(port):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.connect(("127.0.0.1", port))
        made.settimeout(5)
        return made

    def run(self):
        while True:
            ready, _, _ = select.select([self._socket, self._ended], [], [])
            if self._ended in ready:
                return
            data, source = self._socket.recvfrom(65536)
            cookie, _, body = data.partition(b" ")
            try:
                reply = self._through(ng.decode(body))
            except OSError as error:
                reply = {"result": "error", "error-reason": str(error)}
            self._socket.sendto(cookie + b" " + ng.encode(reply), source)

    def end(self):
        self._end.send(b"x")
        self.join()
        for one in (self._socket, self._end, self._ended, *self._nodes.values()):
            one.close()

    def _ask(self, port, request):
        self._serial += 1
        cookie = f"j{id(self)}-{self._serial}".encode()
        self._nodes[port].send(cookie + b" " + ng.encode(request))
        while True:
            got, _, body = self._nodes[port].recv(65536).partition(b" ")
            if got == cookie:
                return ng.decode(body)

    def _through(self, request):
        command = request.get("command")
        steps = [(EDGE_NG, ["outside", "dmz/core1"]), (CORE_NG, ["dmz/edge1", "inside"])]
        if command == "answer":
            steps.reverse()
        for port, direction in steps:
            here = dict(request)
            if command == "offer":
                here["direction"] = direction
            reply = self._ask(port, here)
            if reply.get("result") not in ("ok", "pong"):
                break
            if "sdp" in reply:
                request["sdp"] = reply["sdp"]
        return reply


class PairNode(relays.Turnpike):
    """One node of a pair, observed while both work. `name`: "edge" or "core"."""

    def __init__(self, name, build, media=()):
        super().__init__(build, media)
        self.name = name

    def _node(self, folder, role):
        is_edge = role == "edge"
        address = f"{network.ZONE}:{ZONE_PORT}"
        peer = {"core1": {"tls_name": "core.bench"}} if is_edge else {
            "edge1": {"tls_name": "edge.bench", "address": address}}
        sections = zone_sections(role, role, folder / "pki" / "zone-dmz",
                                 "node" if is_edge else "peer-core1", peer, "bench",
                                 listen=address if is_edge else None)
        sections |= {
            f"interface.{'outside' if is_edge else 'inside'}": {
                "addresses": [network.RELAY[0 if is_edge else 1]]},
            "ng": {"unix": "", "udp": f"127.0.0.1:{EDGE_NG if is_edge else CORE_NG}"},
            "api": {"unix": "", "metrics": ""}, "log": {"level": "error"}, "media": {"shards": 1}}
        config = folder / f"{role}.toml"
        config.write_text(to_toml(sections) + "".join(f"{line}\n" for line in self.media))
        return [self.executable, "--config", config]

    def command(self, folder):
        return self._node(folder, self.name)

    @contextlib.contextmanager
    def running(self, space, folder, core):
        edge = self._node(folder, "edge")
        if not (folder / "pki").exists():
            subprocess.run([*edge, "--make-dev-certs", folder / "pki"], check=True,
                           capture_output=True)
        with contextlib.ExitStack() as stack:
            processes = {}
            for role in ("edge", "core"):
                processes[role] = stack.enter_context(
                    self.process(space, folder, core, self._node(folder, role), role))
            joined = JoinedNg(space)
            joined.start()
            stack.callback(joined.end)
            self._wait_flows(space, processes)
            yield processes[self.name]

    @staticmethod
    def _wait_flows(space, processes):
        """Until a call would have media: an edge refuses it before."""
        probe = {"command": "offer", "call-id": "probe", "from-tag": "probe",
                 "direction": ["outside", "inside"], "transport-protocol": "RTP/AVP",
                 "sdp": "v=0\r\no=- 1 1 IN IP4 203.0.113.10\r\ns=-\r\nc=IN IP4 203.0.113.10\r\n"
                        "t=0 0\r\nm=audio 9000 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
                        "inline:" + "A" * 40 + "\r\n"}
        with netns.inside(space.name):
            link = ng.Ng.udp("127.0.0.1", relays.NG_PORT)
            deadline = time.monotonic() + relays.READY_SECONDS
            while time.monotonic() < deadline:
                if any(process.poll() is not None for process in processes.values()):
                    break
                with contextlib.suppress(OSError, ValueError):
                    if ng.decode(link.raw(ng.encode(probe))).get("result") == "ok":
                        link.raw(ng.encode({"command": "delete", "call-id": "probe",
                                            "from-tag": "probe"}))
                        return
                time.sleep(0.1)  # the deadline bounds this
        raise relays.RelayError(f"the pair takes no call within {relays.READY_SECONDS} s")
