#!/usr/bin/python3
"""One line that shows what the daemon is doing, once a second, until it does not answer any more.

    watch.py SOCKET

Asks the API on its unix socket. Without a terminal it prints nothing.
"""

import http.client
import json
import socket
import sys
import time


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(path: str) -> dict:
    connection = UnixConnection(path)
    try:
        connection.request("GET", "/v1/status")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def line(now: dict, before: dict) -> str:
    def forwarded(status):
        return sum(shard["packets_forwarded"] for shard in status["shards"])

    seconds = max(0.5, now["uptime_seconds"] - before["uptime_seconds"])
    rate = (forwarded(now) - forwarded(before)) / seconds
    dropped = sum(drop["packets"] for drop in now["drops"])
    up = int(now["uptime_seconds"])
    return (f"up {up // 3600}:{up // 60 % 60:02}:{up % 60:02}  calls {now['calls']}  "
            f"media sessions {now['sessions']}  packets/s {rate:.0f}  "
            f"forwarded {forwarded(now)}  dropped {dropped}")


def main() -> int:
    before = None
    while True:
        try:
            now = ask(sys.argv[1])
        except (OSError, ValueError, http.client.HTTPException):
            return 1
        if sys.stdout.isatty():
            print("\r\033[K" + line(now, before or now), end="", flush=True)
        before = now
        time.sleep(1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
