"""SIP as bytes: messages, digest answers, agents over UDP, TCP and TLS at a place of the network.

Hides: parsing and sockets. Not: a user agent with opinions. A test says each message.
"""

import contextlib
import hashlib
import re
import secrets
import select
import socket
import ssl
import time


class Message:
    """A request or an answer. Header names are looked up without regard to case."""

    COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact",
               "l": "content-length", "c": "content-type"}

    def __init__(self, data: bytes):
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "replace").split("\r\n")
        self.start, self.body = lines[0], body.decode("utf-8", "replace")
        self.headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            self.headers.append((self.COMPACT.get(name, name), value.strip()))
        self.status = int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0") else 0
        self.method = "" if self.status else self.start.split(" ")[0]
        self.uri = "" if self.status else self.start.split(" ")[1]

    def all(self, name: str) -> list:
        return [value for key, value in self.headers if key == name.lower()]

    def first(self, name: str) -> str:
        values = self.all(name)
        return values[0] if values else ""

    @property
    def cseq_method(self) -> str:
        return self.first("cseq").split(" ")[-1]

    def tag(self, name: str) -> str:
        found = re.search(r";tag=([^;>\s]+)", self.first(name))
        return found.group(1) if found else ""

    def contact_uri(self) -> str:
        found = re.search(r"<([^>]+)>", self.first("contact"))
        return found.group(1) if found else self.first("contact")


def build(start: str, headers: list, body: str = "") -> bytes:
    lines = [start] + [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append("Content-Type: application/sdp")
    lines += [f"Content-Length: {len(body.encode())}", "", ""]
    return "\r\n".join(lines).encode() + body.encode()


def digest(message: Message, method: str, uri: str, user: str, password: str) -> tuple:
    """The header that answers the challenge in `message`."""
    name = "www-authenticate" if message.status == 401 else "proxy-authenticate"
    challenge = dict(re.findall(r'(\w+)="?([^",]+)"?', message.first(name)))
    hash_name = {"MD5": "md5", "SHA-256": "sha256"}[challenge.get("algorithm", "MD5")]

    def h(text: str) -> str:
        return hashlib.new(hash_name, text.encode()).hexdigest()

    realm, nonce, cnonce = challenge["realm"], challenge["nonce"], secrets.token_hex(8)
    ha1, ha2 = h(f"{user}:{realm}:{password}"), h(f"{method}:{uri}")
    answer = h(f"{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}")
    value = (f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
             f'response="{answer}", algorithm={challenge.get("algorithm", "MD5")}, '
             f'cnonce="{cnonce}", nc=00000001, qop=auth')
    return ("Authorization" if message.status == 401 else "Proxy-Authorization", value)


class Agent:
    """One transport address that sends and receives SIP. Messages wait in a list until a test
    asks for them with expect()."""

    def __init__(self, place, port: int = 0, transport: str = "udp", address: str = ""):
        """`place`: a network.Place, or None for the daemon's own host with `address`."""
        self.transport, self.received, self._raw = transport, [], b""
        self.answers_options = False  # keep-alives get 200 unseen
        local = (address or place.v4, port)
        family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        with place.sockets() if place else contextlib.nullcontext():
            self.socket = socket.socket(family, kind)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(local)
        self.remote = None
        self.local = self.socket.getsockname()[:2]

    def connect(self, remote: tuple, context: ssl.SSLContext = None, name: str = None) -> "Agent":
        """TCP or TLS; raises ssl.SSLError or OSError when refused."""
        self.remote = remote
        if self.transport == "udp":
            return self
        self.socket.settimeout(20)
        self.socket.connect(remote)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname=name)
        self.local = self.socket.getsockname()[:2]
        return self

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def send(self, data: bytes, to: tuple = None) -> None:
        if self.transport == "udp":
            self.socket.sendto(data, to or self.remote)
        else:
            self.socket.sendall(data)

    @property
    def host(self) -> str:
        return f"[{self.local[0]}]" if ":" in self.local[0] else self.local[0]

    def via(self) -> str:
        return (f"SIP/2.0/{self.transport.upper()} {self.host}:{self.local[1]}"
                f";branch=z9hG4bK{secrets.token_hex(8)};rport")

    def contact(self, user: str) -> str:
        return f"<sip:{user}@{self.host}:{self.local[1]};transport={self.transport}>"

    def _read(self, timeout: float) -> bool:
        pending = getattr(self.socket, "pending", lambda: 0)()
        if not pending and not select.select([self.socket], [], [], timeout)[0]:
            return False
        if self.transport == "udp":
            data, source = self.socket.recvfrom(65536)
            if len(data) > 4:
                self._take(Message(data), source)
            return True
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("connection closed by the other side")
        self._raw += data
        self._cut_stream()
        return True

    def _take(self, message: Message, source) -> None:
        message.source = source
        if self.answers_options and message.method == "OPTIONS":
            reply(self, message, 200, "OK")
        else:
            self.received.append(message)

    def _cut_stream(self) -> None:
        while True:
            self._raw = self._raw.lstrip(b"\r\n")
            end = self._raw.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._raw[:end]
            length = re.search(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(\d+)", head, re.I)
            total = end + 4 + (int(length.group(1)) if length else 0)
            if len(self._raw) < total:
                return
            self._take(Message(self._raw[:total]), None)
            self._raw = self._raw[total:]

    def expect(self, what, timeout: float = 15.0) -> Message:
        """The next message for which `what` (a function, a method's name or a status) holds."""
        if isinstance(what, int):
            matches = lambda m: m.status == what  # noqa: E731
        elif isinstance(what, str):
            matches = lambda m: m.method == what  # noqa: E731
        else:
            matches = what
        end = time.monotonic() + timeout
        while True:
            for message in self.received:
                if matches(message):
                    self.received.remove(message)
                    return message
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                seen = ", ".join(m.start for m in self.received) or "nothing"
                raise AssertionError(f"expected {what}, saw {seen}")

    def final(self, timeout: float = 15.0, method: str = "") -> Message:
        """The next final answer (to `method`)."""
        return self.expect(
            lambda m: m.status >= 200 and method in ("", m.cseq_method), timeout)


class Call:
    """What a side of a dialog must remember: tags, route set, remote target, CSeq."""

    def __init__(self, agent: Agent, user: str, from_header: str, to_header: str, call_id: str,
                 target: str, routes: list):
        self.agent, self.user, self.call_id, self.target = agent, user, call_id, target
        self.from_header, self.to_header, self.routes, self.cseq = (
            from_header, to_header, routes, 100)

    def request(self, method: str, body: str = "", cseq: int = 0, extra: list = None,
                to: tuple = None) -> Message:
        if not cseq:
            self.cseq += 1
            cseq = self.cseq
        headers = [("Via", self.agent.via())]
        headers += [("Route", route) for route in self.routes]
        headers += [("Max-Forwards", "70"), ("From", self.from_header), ("To", self.to_header),
                    ("Call-ID", self.call_id), ("CSeq", f"{cseq} {method}"),
                    ("Contact", self.agent.contact(self.user))] + (extra or [])
        data = build(f"{method} {self.target} SIP/2.0", headers, body)
        self.agent.send(data, to)
        return Message(data)


def request(agent: Agent, method: str, uri: str, from_uri: str, to_uri: str = "", user: str = "",
            body: str = "", extra: list = None, call_id: str = "", cseq: int = 1,
            from_tag: str = "", to_tag: str = "", contact: bool = True) -> Message:
    """Sends a request outside of a dialog (or, with `to_tag`, one that claims to be inside)."""
    to = f"<{to_uri or uri}>" + (f";tag={to_tag}" if to_tag else "")
    headers = [("Via", agent.via()), ("Max-Forwards", "70"),
               ("From", f"<{from_uri}>;tag={from_tag or secrets.token_hex(6)}"), ("To", to),
               ("Call-ID", call_id or secrets.token_hex(12)), ("CSeq", f"{cseq} {method}")]
    if contact:
        headers.append(("Contact", agent.contact(user or "probe")))
    data = build(f"{method} {uri} SIP/2.0", headers + (extra or []), body)
    agent.send(data)
    return Message(data)


def again(agent: Agent, sent: Message, extra: list) -> Message:
    """The same request once more with another branch, CSeq and `extra` (credentials)."""
    number, method = sent.first("cseq").split(" ")
    headers = []
    for name, value in sent.headers:
        if name in ("content-length", "content-type"):
            continue
        if name == "via":
            value = agent.via()
        if name == "cseq":
            value = f"{int(number) + 1} {method}"
        headers.append((name.title().replace("Cseq", "CSeq").replace("Call-Id", "Call-ID"), value))
    data = build(sent.start, headers + extra, sent.body)
    agent.send(data)
    return Message(data)


def acknowledge(agent: Agent, sent: Message, answer: Message, to: tuple = None) -> None:
    """ACK for a negative final answer: same branch (RFC 3261 section 17.1.1.3)."""
    headers = [("Via", sent.first("via")), ("Max-Forwards", "70"), ("From", sent.first("from")),
               ("To", answer.first("to")), ("Call-ID", sent.first("call-id")),
               ("CSeq", sent.first("cseq").split(" ")[0] + " ACK")]
    agent.send(build(f"ACK {sent.uri} SIP/2.0", headers), to)


def reply(agent: Agent, asked: Message, status: int, reason: str, user: str = "", body: str = "",
          to_tag: str = "", extra: list = None) -> None:
    to = asked.first("to")
    if ";tag=" not in to and status > 100:
        to += f";tag={to_tag or secrets.token_hex(6)}"
    headers = [("Via", via) for via in asked.all("via")]
    headers += [("Record-Route", route) for route in asked.all("record-route")]
    headers += [("From", asked.first("from")), ("To", to), ("Call-ID", asked.first("call-id")),
                ("CSeq", asked.first("cseq"))]
    if user:
        headers.append(("Contact", agent.contact(user)))
    data = build(f"SIP/2.0 {status} {reason}", headers + (extra or []), body)
    agent.send(data, getattr(asked, "source", None))


def sdp(address: str, port: int, protocol: str = "RTP/AVP", crypto: bool = None,
        direction: str = "sendrecv") -> str:
    lines = ["v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0",
             f"m=audio {port} {protocol} 0", "a=rtpmap:0 PCMU/8000"]
    if crypto if crypto is not None else "SAVP" in protocol:
        lines.append("a=crypto:1 AES_CM_128_HMAC_SHA1_80 "
                     "inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw")
    return "\r\n".join(lines + [f"a={direction}", ""])
