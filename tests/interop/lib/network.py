"""The network of every interop test: an outside, an inside and a stranger around the daemon.

    outside 198.51.100.10, 2001:db8:51::10 --- 198.51.100.1, 2001:db8:51::1  |
    stranger 192.0.2.66, 2001:db8:66::66   --- 192.0.2.1, 2001:db8:66::1     | the daemon's host
    inside  10.20.0.10, fd00:20::10        --- 10.20.0.1, fd00:20::1         |

    home 192.168.7.10 --- 192.168.7.1 outside, which is its NAT (only in `home()`)

The daemon runs in the namespace that the test itself runs in (see contained.sh), which does not
forward packets: what passes from one side to the other passes through the daemon.
"""

import contextlib
import dataclasses
import subprocess

from . import case  # noqa: F401  (puts deploy/lib on the module path)
import netns


@dataclasses.dataclass(frozen=True)
class Place:
    """A namespace with one address per family, and the daemon's host as seen from it."""

    name: str
    v4: str
    v6: str
    host_v4: str
    host_v6: str
    link: str  # the host's end of the veth pair

    def address(self, version=4):
        return self.v4 if version == 4 else self.v6

    def host(self, version=4):
        return self.host_v4 if version == 4 else self.host_v6

    def command(self, *words):
        return ["ip", "netns", "exec", self.name, *(str(word) for word in words)]

    def sockets(self):
        """Context: sockets opened within belong here."""
        return netns.inside(self.name)


OUTSIDE = Place("tp-out", "198.51.100.10", "2001:db8:51::10", "198.51.100.1", "2001:db8:51::1",
                "tp-o")
INSIDE = Place("tp-in", "10.20.0.10", "fd00:20::10", "10.20.0.1", "fd00:20::1", "tp-i")
HOME = Place("tp-home", "192.168.7.10", "", "198.51.100.1", "", "tp-h")
STRANGER = Place("tp-bad", "192.0.2.66", "2001:db8:66::66", "192.0.2.1", "2001:db8:66::1", "tp-s")


_NAT = """
table ip nat {
  chain out { type nat hook postrouting priority srcnat; ip saddr 192.168.7.0/24 masquerade; }
  chain through {
    type filter hook forward priority filter; policy drop;
    ip saddr 192.168.7.0/24 accept
    ct state established,related accept
  }
}
"""


def _ip(*words):
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


def add_v6(name, link, host, address):
    """IPv6 beside the IPv4 of a namespace that is up."""
    _ip("addr", "add", host + "/64", "dev", link, "nodad")
    _ip("-n", name, "addr", "add", address + "/64", "dev", link + "-p", "nodad")
    _ip("-n", name, "-6", "route", "add", "default", "via", host)


@contextlib.contextmanager
def topology():
    """The three places, up; removed at the end."""
    with contextlib.ExitStack() as stack:
        for place in (OUTSIDE, INSIDE, STRANGER):
            stack.enter_context(netns.Netns(
                place.name, place.link, place.host_v4 + "/24", place.v4 + "/24"))
            add_v6(place.name, place.link, place.host_v6, place.v6)
        yield


@contextlib.contextmanager
def home():
    """HOME behind a NAT that lets nothing in but replies. Within a topology()."""
    far = HOME.link + "-p"
    _ip("netns", "add", HOME.name)
    try:
        _ip("-n", OUTSIDE.name, "link", "add", HOME.link, "type", "veth", "peer", "name", far,
            "netns", HOME.name)
        _ip("-n", OUTSIDE.name, "addr", "add", "192.168.7.1/24", "dev", HOME.link)
        _ip("-n", OUTSIDE.name, "link", "set", HOME.link, "up")
        _ip("-n", HOME.name, "link", "set", "lo", "up")
        _ip("-n", HOME.name, "addr", "add", HOME.v4 + "/24", "dev", far)
        _ip("-n", HOME.name, "link", "set", far, "up")
        _ip("-n", HOME.name, "route", "add", "default", "via", "192.168.7.1")
        subprocess.run(OUTSIDE.command("sysctl", "-qw", "net.ipv4.ip_forward=1"), check=True)
        subprocess.run(OUTSIDE.command("nft", "-f", "-"), input=_NAT, text=True, check=True)
        yield
    finally:
        _ip("netns", "del", HOME.name)
