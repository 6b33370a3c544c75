"""A client of the NG control protocol: bencode, one request at a time.

Hides: bencode, cookies, the framing of each transport.
    Ng.unix(path): a connection per request and no cookie, as stock Kamailio does it.
    Ng.udp(host, port): datagrams "COOKIE DICT".
    Link(scratch, path): many requests at a time over one connection.
"""

import contextlib
import itertools
import os
import socket
import threading


class NgError(RuntimeError):
    """The daemon answered result=error; `reason` is its error-reason."""

    def __init__(self, reply):
        self.reply = reply
        self.reason = reply.get("error-reason", "")
        super().__init__(f"{reply.get('result')}: {self.reason}")


def encode(value):
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, str):
        return encode(value.encode())
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, (list, tuple)):
        return b"l" + b"".join(encode(item) for item in value) + b"e"
    return b"d" + b"".join(encode(key) + encode(item) for key, item in value.items()) + b"e"


def decode(data):
    value, rest = _decode(data, 0)
    if rest != len(data):
        raise ValueError(f"{len(data) - rest} bytes behind the value")
    return value


def _decode(data, at):
    head = data[at:at + 1]
    if head == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if head in (b"l", b"d"):
        items, at = [], at + 1
        while data[at:at + 1] != b"e":
            item, at = _decode(data, at)
            items.append(item)
        if head == b"l":
            return items, at + 1
        return dict(zip(items[::2], items[1::2])), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    if end > len(data):
        raise ValueError("string runs over the end")
    return data[colon + 1:end].decode("utf-8", "replace"), end


class Ng:
    """Requests to one daemon. Calls raise NgError unless the result is ok (or pong)."""

    def __init__(self, family, address, timeout):
        self._family, self._address, self._timeout = family, address, timeout
        self._serial = itertools.count(1)

    @classmethod
    def unix(cls, path, timeout=5.0):
        return cls(socket.AF_UNIX, str(path), timeout)

    @classmethod
    def udp(cls, host, port, timeout=5.0):
        return cls(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port), timeout)

    def raw(self, message):
        """Sends bytes as they are and gives the answer's bytes (without cookie)."""
        if self._family == socket.AF_UNIX:
            return self._over_stream(message)
        cookie = b"%d_%d" % (os.getpid(), next(self._serial))
        with socket.socket(self._family, socket.SOCK_DGRAM) as link:
            link.settimeout(self._timeout)
            link.connect(self._address)
            link.send(cookie + b" " + message)
            answer = link.recv(65536)
        got, _, body = answer.partition(b" ")
        if got != cookie:
            raise ValueError(f"answer carries cookie {got!r}, not {cookie!r}")
        return body

    def _over_stream(self, message):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.connect(self._address)  # without a time limit it waits while the queue is full
            link.settimeout(self._timeout)
            link.sendall(message)
            answer = b""
            while True:
                chunk = link.recv(65536)
                if not chunk:
                    return answer
                answer += chunk
                try:
                    decode(answer)
                    return answer
                except (ValueError, IndexError):
                    continue

    def exchange(self, command, **keys):
        """One request; keys with _ for -. Gives the reply whatever its result."""
        message = {"command": command}
        message.update({key.replace("_", "-"): value for key, value in keys.items()
                        if value is not None})
        return decode(self.raw(encode(message)))

    def request(self, command, **keys):
        reply = self.exchange(command, **keys)
        if reply.get("result") not in ("ok", "pong"):
            raise NgError(reply)
        return reply

    def ping(self):
        return self.request("ping")["result"] == "pong"


class Link:
    """One connection: requests are written together, replies read in their order."""

    def __init__(self, scratch, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        scratch.on_exit(self._socket.close)
        self._rest, self._at = b"", 0

    def ask(self, requests):
        return list(self.replies(requests))

    def replies(self, requests):
        """One reply after the other; ConnectionError when the daemon closes the connection."""
        message = b"".join(encode(request) for request in requests)
        writer = threading.Thread(target=self._write, args=(message,))
        writer.start()
        try:
            for _ in requests:
                yield self._reply()
        finally:
            writer.join()

    def _write(self, message):
        with contextlib.suppress(OSError):  # who reads the replies is told
            self._socket.sendall(message)

    def _reply(self):
        while True:
            try:
                value, self._at = _decode(self._rest, self._at)
                return value
            except (ValueError, IndexError):
                got = self._socket.recv(1 << 18)
                if not got:
                    raise ConnectionError("the daemon has closed the connection") from None
                self._rest, self._at = self._rest[self._at:] + got, 0
