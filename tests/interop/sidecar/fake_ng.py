"""A stand-in for the relay's NG socket that counts what the SIP server asks for.

Hides: bencode, NG's unix framing (one connection a command, no cookie), a minimal SDP rewrite.
Not: a relay. No packet flows; what matters here is which commands come, when, with which flags.
"""

import http.server
import os
import socket
import threading

HEALTH = "127.0.0.1:9464"


class Malformed(AssertionError):
    """A command that a relay could read in two ways."""


def decode(data: bytes, at: int = 0):
    """One bencoded value; returns (value, index behind it). Texts stay bytes -> str."""
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at:at + 1] != b"e":
            item, at = decode(data, at)
            items.append(item)
        if kind == b"l":
            return items, at + 1
        if len(set(items[0::2])) < len(items[0::2]):
            raise Malformed(f"a key comes twice: {items[0::2]}")
        return dict(zip(items[0::2], items[1::2])), at + 1
    colon = data.index(b":", at)
    length = int(data[at:colon])
    text = data[colon + 1:colon + 1 + length]
    if len(text) < length:
        raise IndexError("incomplete")
    return text.decode(), colon + 1 + length


def encode(value) -> bytes:
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, list):
        return b"l" + b"".join(map(encode, value)) + b"e"
    if isinstance(value, dict):
        return b"d" + b"".join(encode(k) + encode(v) for k, v in value.items()) + b"e"
    data = value.encode()
    return b"%d:%s" % (len(data), data)


class FakeNg:
    """Answers every command on `path`. `commands` holds all but pings, in order, as dictionaries.
    `refusal`: reply dictionary for offers instead of success. `refuse_delete`: a call was refused
    for want of room, as turnpiked says it. `running`: an event; while it is
    clear, commands and /healthz are taken but not answered, as by a stopped process. `health`: also
    serve /healthz."""

    KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    FINGERPRINT = ":".join(["CD"] * 32)

    def __init__(self, path: str, health: bool = True):
        self.path, self.commands = path, []
        self.refusal, self.refuse_delete = None, False
        self._port, self._offered = 36000, {}
        self._malformed = []
        self.running = threading.Event()
        self.running.set()
        if os.path.exists(path):
            os.unlink(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        os.chmod(path, 0o666)
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._health = None
        if health:
            self._serve_health()

    def _serve_health(self) -> None:
        running = self.running

        class Health(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                running.wait()
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        host, port = HEALTH.split(":")
        self._health = http.server.ThreadingHTTPServer((host, int(port)), Health)
        self._health.daemon_threads = True
        threading.Thread(target=self._health.serve_forever, daemon=True).start()

    def close(self) -> None:
        if not os.path.exists(self.path):
            return
        self.running.set()
        if self._health:
            self._health.shutdown()
            self._health.server_close()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        os.unlink(self.path)
        if self._malformed:
            raise Malformed("; ".join(self._malformed))

    def of(self, command: str, call_id: str = "") -> list:
        return [c for c in self.commands
                if c["command"] == command and call_id in ("", c.get("call-id"))]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                self.running.wait()
                try:
                    connection.sendall(encode(self._answer(self._read(connection))))
                except OSError:
                    pass
                except Malformed as fault:
                    self._malformed.append(str(fault))

    @staticmethod
    def _read(connection) -> dict:
        data = b""
        while True:
            part = connection.recv(65536)
            if not part:
                raise OSError("closed")
            data += part
            try:
                return decode(data)[0]
            except (IndexError, ValueError):
                continue

    def _answer(self, command: dict) -> dict:
        if command["command"] == "ping":
            return {"result": "pong"}
        self.commands.append(command)
        if command["command"] in ("offer", "answer"):
            if self.refusal is not None:
                return self.refusal
            return {"result": "ok", "sdp": self._rewrite(command)}
        if command["command"] == "delete" and self.refuse_delete:
            return {"result": "error", "error-reason": "Parallel session limit reached"}
        return {"result": "ok"}

    def _rewrite(self, command: dict) -> str:
        """Own address and ports; what is asked for, and in an answer the protocol of the offer."""
        sdp, call = command["sdp"], command["call-id"]
        protocol = command.get("transport-protocol")
        if command["command"] == "offer":
            self._offered[call] = sdp.partition("m=")[2].split(" ")[2]
        protocol = protocol or self._offered.get(call, "RTP/AVP")
        towards_outside = "RTP/SAVP" in protocol
        address = "198.51.100.1" if towards_outside else "10.20.0.1"
        lines = []
        for line in sdp.split("\r\n"):
            if line.startswith(("a=crypto", "a=rtcp:", "a=rtcp-mux", "a=fingerprint", "a=setup",
                                "a=ice-", "a=candidate")):
                continue
            if line.startswith("c="):
                line = f"c=IN IP4 {address}"
            if line.startswith("o="):
                line = " ".join(line.split(" ")[:-1] + [address])
            if line.startswith("m="):
                words = line.split(" ")
                if words[1] != "0":
                    self._port += 2
                    words[1] = str(self._port)
                words[2] = protocol
                line = " ".join(words)
            lines.append(line)
            if line.startswith("m=") and protocol.startswith("UDP/TLS"):
                lines.append(f"a=fingerprint:sha-256 {self.FINGERPRINT}")
            elif line.startswith("m=") and towards_outside:
                lines.append(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{self.KEY}")
        return "\r\n".join(lines)
