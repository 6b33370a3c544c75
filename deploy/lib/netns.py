"""Network namespaces for clients that must not share the host's addresses.

Hides: ip(8), veth pairs, entering a namespace for one socket.
Not: routing policy. Each namespace has one veth to the host and a default route through it.
"""

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import threading

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_lock = threading.Lock()


class NetnsError(RuntimeError):
    """A namespace could not be made or entered; the text says why."""


def _ip(*arguments: str) -> None:
    done = subprocess.run(
        ["ip", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NetnsError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Netns:
    """A namespace `name`, joined to the host by a veth pair.

    `link`: name of the host's end (at most 13 characters; the far end adds "-p").
    `host` and `client`: addresses with prefix length, for example "203.0.113.1/30".
    Leaves nothing behind after remove(); removes what an earlier run left under its name.
    """

    def __init__(self, name: str, link: str, host: str, client: str):
        self.name, self.link = name, link
        self.host_address = host.split("/", maxsplit=1)[0]
        self.address = client.split("/", maxsplit=1)[0]
        self._host, self._client = host, client

    def create(self) -> "Netns":
        self.remove()
        try:
            _ip("netns", "add", self.name)
            far = self.link + "-p"
            _ip("link", "add", self.link, "type", "veth", "peer", "name", far, "netns", self.name)
            self._configure("-4" if ":" not in self.address else "-6", far)
        except NetnsError:
            self.remove()
            raise
        return self

    def _configure(self, family: str, far: str) -> None:
        nodad = ("nodad",) if family == "-6" else ()
        _ip("addr", "add", self._host, "dev", self.link, *nodad)
        _ip("link", "set", self.link, "up")
        _ip("-n", self.name, "link", "set", "lo", "up")
        _ip("-n", self.name, "addr", "add", self._client, "dev", far, *nodad)
        _ip("-n", self.name, "link", "set", far, "up")
        _ip("-n", self.name, family, "route", "add", "default", "via", self.host_address)

    def remove(self) -> None:
        for arguments in (("link", "del", self.link), ("netns", "del", self.name)):
            with contextlib.suppress(NetnsError):
                _ip(*arguments)

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs `arguments` inside."""
        return ["ip", "netns", "exec", self.name, *arguments]

    def __enter__(self) -> "Netns":
        return self.create()

    def __exit__(self, *_) -> None:
        self.remove()


@contextlib.contextmanager
def inside(name: str | None):
    """Sockets that this block opens belong to the namespace (None: the host's own)."""
    if name is None:
        yield
        return
    with _lock:  # the switch is per thread; the lock keeps the pairs of calls together
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        away = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(away)
            try:
                yield
            finally:
                _setns(home)
        finally:
            os.close(away)
            os.close(home)


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise NetnsError(f"setns: {os.strerror(ctypes.get_errno())}")


def connect(name: str | None, address: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection that is made inside the namespace."""
    with inside(name):
        return socket.create_connection((address, port), timeout)


def permitted() -> str:
    """Empty when this process may make namespaces and veth pairs, else why not."""
    trial = Netns(f"tp-try-{os.getpid()}", f"tpt{os.getpid() % 100000}", "192.0.2.253/30",
                  "192.0.2.254/30")
    try:
        trial.create()
    except (NetnsError, OSError) as error:
        return str(error)
    finally:
        trial.remove()
    return ""


def main() -> int:
    """netns.py create NAME LINK HOST CLIENT | remove NAME LINK: for scripts."""
    try:
        if sys.argv[1] == "create":
            Netns(*sys.argv[2:6]).create()
        elif sys.argv[1] == "remove":
            Netns(sys.argv[2], sys.argv[3], "", "").remove()
        else:
            raise NetnsError(f"unknown command {sys.argv[1]}")
    except (NetnsError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
