"""The network of a measurement: one namespace that nothing else uses, addresses on its loopback.

    phones of A: 203.0.113.10 --- 203.0.113.1 | relay | 192.0.2.1 --- 192.0.2.10: phones of B

A TURN server has an address that counts as public, and so have its clients and their peer. Those of
the clients and the peer are routed here without being the host's own, for a peer must not be.

Hides: ip(8). What is sent from one address to another never leaves the kernel's loopback.
"""

import contextlib
import subprocess

RELAY = ("203.0.113.1", "192.0.2.1")
ZONE = "198.51.100.1"  # of a traversal pair, between its nodes
PHONES = ("203.0.113.10", "192.0.2.10")
TURN_SERVER, TURN_PEER = "45.9.1.1", "45.9.2.10"
TURN_CLIENTS, TURN_FIRST_CLIENT = "45.10.0.0/16", "45.10.0.1"


class NetworkError(RuntimeError):
    """The namespace could not be made; the text says why."""


def _ip(*words):
    done = subprocess.run(["ip", *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        raise NetworkError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Namespace:
    """Exists from construction until remove()."""

    def __init__(self, name):
        self.name = name
        _ip("netns", "add", name)
        try:
            _ip("-n", name, "link", "set", "lo", "up")
            for address in (*RELAY, ZONE, *PHONES, TURN_SERVER):
                _ip("-n", name, "addr", "add", f"{address}/32", "dev", "lo")
            for elsewhere in (TURN_PEER, TURN_CLIENTS):
                _ip("-n", name, "route", "add", "local", elsewhere, "dev", "lo")
        except NetworkError:
            self.remove()
            raise

    def command(self, *words):
        """The command line that runs `words` within; the process keeps its id."""
        return ["ip", "netns", "exec", self.name, *(str(word) for word in words)]

    def remove(self):
        with contextlib.suppress(NetworkError):
            _ip("netns", "del", self.name)
