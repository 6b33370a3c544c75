"""Servers that a SIP server under test connects to: they answer OPTIONS and keep the rest.

Hides: accepting, handshakes. Not: what calls are answered; a test says that.
"""

import contextlib
import socket
import ssl
import threading

import edge  # the path to lib
import sip
from lib import network


class StreamServer:
    """Over TCP; `received` are the messages of all connections. `wrap`: makes a connection TLS."""

    def __init__(self, scratch, place, port, wrap=None):
        self.received, self.failures, self.connections = [], [], 0
        self._wrap, self._agents, self.answers_options = wrap, [], True
        with place.sockets():
            self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((place.v4, port))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        scratch.on_exit(self.close)

    def close(self):
        # Threads that wait in one would keep it open.
        for one in (self._listener, *(agent.socket for agent in self._agents)):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            stream = self._wrap(connection) if self._wrap else connection
        except (ssl.SSLError, OSError) as error:
            self.failures.append(str(error))
            return
        self.connections += 1
        agent = sip.Agent.__new__(sip.Agent)
        agent.transport, agent.received, agent._raw = "tls", self.received, b""
        agent.answers_options, agent.socket = self.answers_options, stream
        agent.local = stream.getsockname()[:2]
        self._agents.append(agent)
        try:
            while agent._read(30):
                pass
        except (OSError, ValueError):
            pass

    @property
    def agent(self):
        """On the newest connection. Messages are in `received` by themselves: see expect()."""
        return self._agents[-1]

    def invites(self):
        return [message for message in self.received if message.method == "INVITE"]

    def expect(self, method):
        """The next request with `method`, or answer with that status."""
        def found():
            for message in list(self.received):
                if method in (message.method, message.status):
                    self.received.remove(message)
                    return message
            return None
        return edge.case.eventually(found, lambda: f"{method}: {[m.start for m in self.received]}")

    def answer(self, asked, status, reason, **more):
        sip.reply(self.agent, asked, status, reason, **more)


class TlsServer(StreamServer):
    """`under_test`: whose certificates these are. `ask`: the authority whose certificates it
    demands; `shown` are the names in them."""

    def __init__(self, scratch, under_test, certificate, place=network.INSIDE, port=5071, ask=""):
        self.shown = set()
        self._context = under_test.certificates.server_context(certificate)
        if ask:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(under_test.certificates.folder / f"{ask}.pem")
        super().__init__(scratch, place, port, self._take)

    def _take(self, connection):
        secure = self._context.wrap_socket(connection, server_side=True)
        certificate = secure.getpeercert() or {}
        self.shown |= {name for _, name in certificate.get("subjectAltName", ())}
        return secure
