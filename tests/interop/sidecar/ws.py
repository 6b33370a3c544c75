"""SIP over WebSocket as a browser speaks it (RFC 6455, RFC 7118), on the standard library alone.

    agent = ws.Agent(network.OUTSIDE)
    agent.connect(("198.51.100.1", 8443), context, "edge.example.com", origin="https://a.example")

Hides: the opening handshake, masking, frames. Like a browser it names itself by a host that does
not exist, and answers pings. Not: a page; whatever a test wants in headers and frames is sent.
"""

import base64
import hashlib
import os
import re
import secrets
import select
import struct

import sip

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Refused(Exception):
    """The handshake was answered with something else than 101; `status` is what (0: nothing)."""

    def __init__(self, status: int, head: str):
        super().__init__(f"{status}: {head}")
        self.status, self.head = status, head


def frame(payload: bytes, opcode: int = TEXT, final: bool = True, mask: bool = True,
          claimed: int = None) -> bytes:
    """A frame of a client. `claimed`: the length that its head tells, whatever follows."""
    length = len(payload) if claimed is None else claimed
    first = (0x80 if final else 0) | opcode
    masked = 0x80 if mask else 0
    if length < 126:
        head = struct.pack("!BB", first, masked | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, masked | 126, length)
    else:
        head = struct.pack("!BBQ", first, masked | 127, length)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


class Agent(sip.Agent):
    """A sip.Agent behind a WebSocket. `closed` holds the code of a close frame once there was one,
    `pings` counts those that came (and were answered, while `answers_pings`)."""

    def __init__(self, place, address: str = ""):
        super().__init__(place, 0, "wss", address)
        self.name = secrets.token_hex(6) + ".invalid"
        self.closed, self.pings, self.answers_pings = None, 0, True

    def connect(self, remote: tuple, context=None, name: str = None, **handshake) -> "Agent":
        super().connect(remote, context, name)
        self.upgrade(f"{name}:{remote[1]}", **handshake)
        return self

    def upgrade(self, host: str, origin: str = "", **more) -> None:
        """The opening handshake; raises Refused. `more`: headers instead of a browser's own
        (Sec_WebSocket_Protocol="chat"; None: left out), and `request`, the first line."""
        key = base64.b64encode(os.urandom(16)).decode()
        headers = {"Host": host, "Upgrade": "websocket", "Connection": "keep-alive, Upgrade",
                   "Origin": origin or None, "Sec-WebSocket-Key": key,
                   "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "sip"}
        start = more.pop("request", "GET / HTTP/1.1")
        headers.update({name.replace("_", "-"): value for name, value in more.items()})
        lines = [start] + [f"{name}: {value}" for name, value in headers.items()
                           if value is not None]
        self.socket.sendall("\r\n".join(lines + ["", ""]).encode())
        head = self._answer_head()
        status = int(head.split(" ")[1]) if head.startswith("HTTP/1.1 ") else 0
        if status != 101:
            raise Refused(status, head)
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        if f"sec-websocket-accept: {accept}".lower() not in head.lower():
            raise AssertionError(f"the handshake's proof is missing: {head}")
        if not re.search(r"(?im)^sec-websocket-protocol: *sip\r?$", head):
            raise AssertionError(f"another subprotocol: {head}")

    def _answer_head(self) -> str:
        data = b""
        while b"\r\n\r\n" not in data:
            try:
                part = self.socket.recv(4096)
            except ConnectionError:
                part = b""
            if not part:
                return data.decode("utf-8", "replace")
            data += part
        head, _, self._raw = data.partition(b"\r\n\r\n")
        return head.decode("utf-8", "replace") + "\r\n"

    def via(self) -> str:
        return f"SIP/2.0/WSS {self.name};branch=z9hG4bK{secrets.token_hex(8)}"

    def contact(self, user: str) -> str:
        return f"<sip:{user}@{self.name};transport=ws;ob>"

    def send(self, data: bytes, to: tuple = None) -> None:
        self.socket.sendall(frame(data))

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _read(self, timeout: float) -> bool:
        if not self.socket.pending() and not select.select([self.socket], [], [], timeout)[0]:
            return False
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("connection closed by the other side")
        self._raw += data
        while self._cut_frame():
            pass
        return True

    def _cut_frame(self) -> bool:
        if len(self._raw) < 2:
            return False
        opcode, length, start = self._raw[0] & 15, self._raw[1], 2
        if not self._raw[0] & 0x80 or length & 0x80:
            raise AssertionError("a server sends whole frames without a mask")
        if length == 126:
            length, start = int.from_bytes(self._raw[2:4], "big"), 4
        if length == 127:
            length, start = int.from_bytes(self._raw[2:10], "big"), 10
        if len(self._raw) < start + length:
            return False
        payload, self._raw = self._raw[start:start + length], self._raw[start + length:]
        if opcode == PING:
            self.pings += 1
            if self.answers_pings:
                self.send_raw(frame(payload, PONG))
        elif opcode == CLOSE:
            self.closed = int.from_bytes(payload[:2], "big")
        elif opcode == TEXT and payload.strip():
            self._take(sip.Message(payload), None)
        return True
