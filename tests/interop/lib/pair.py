"""A traversal pair: an edge and a core in namespaces of their own, and between them a firewall
that lets the core connect to the edge and drops whatever else the edge sends.

    tp-edge 192.0.2.10 --- 192.0.2.1 | firewall | 10.40.0.1 --- 10.40.0.10 tp-core

Hides: namespaces, packet filter, certificates, the two configuration files. The certificates are
made by `turnpiked --make-dev-certs`.
"""

import contextlib
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import threading

from . import case, ng
from .network import INSIDE, OUTSIDE, add_v6
from .turnpiked import Holder, executable
import netns
from pair_node import Daemon, zone_sections

EDGE, CORE = "192.0.2.10", "10.40.0.10"
EDGE_V6, CORE_V6 = "2001:db8:2::10", "fd00:40::10"
ZONE_PORT, LISTEN_PORT, TARGET_PORT = 7001, 7101, 7201
DOMAIN = "example.com"

FIREWALL = """
table inet firewall {
  counter to_edge {}
  set shut { type inet_service; }
  set flows { type inet_service; flags interval; elements = { 36000-36011 } }
  counter from_edge_new {}
  chain forward {
    type filter hook forward priority filter; policy drop;
    tcp dport @shut drop
    tcp sport @shut drop
    ct state established,related accept
    iifname "tp-c" oifname "tp-e" tcp dport 7001 counter name to_edge accept
    iifname "tp-c" oifname "tp-e" udp dport @flows accept
    iifname "tp-o" oifname "tp-e" accept
    iifname "tp-e" oifname "tp-o" accept
    iifname "tp-i" oifname "tp-c" accept
    iifname "tp-c" oifname "tp-i" accept
    iifname "tp-e" counter name from_edge_new drop
  }
}
"""

class Node(Daemon):
    """One turnpiked of the pair. Its life and its API are deploy/lib/pair_node.py's."""

    def __init__(self, scratch, role, place, pki, with_holder=False):
        super().__init__(role, place, scratch.folder / role,
                         {name: executable(name) for name in ("turnpiked", "turnpikectl")})
        self.role, self.pki = role, pki
        self.shards = 2 if role == "edge" else 1
        self.holder = Holder(scratch, folder=self.folder) if with_holder else None
        self.password = pki / "zone-dmz" / "password"
        self.addresses = [EDGE if role == "edge" else CORE]
        self.more_sections = {}
        self.dialled = EDGE  # the edge's address as the core knows it
        scratch.on_exit(self._finish)

    def configure(self, of_zone=None):
        """`of_zone`: keys of the zone that differ from the usual; None: as the default is."""
        is_edge = self.role == "edge"
        address = f"{self.dialled}:{ZONE_PORT}"
        zone = {"listen": address} if is_edge else {}
        sections = zone_sections(
            self.role, f"{self.role}-1", self.pki / "zone-dmz",
            "node" if is_edge else "peer-core1", {"core1" if is_edge else "edge1": {
                "tls_name": f"{'core' if is_edge else 'edge'}.{DOMAIN}",
                "sip_listen": f"127.0.0.1:{LISTEN_PORT}",
                "sip_target": f"127.0.0.1:{TARGET_PORT}",
                "address": None if is_edge else address}},
            DOMAIN, keepalive_seconds=2, handshake_timeout_seconds=3,
            **zone | {"tls_name": f"{self.role}.{DOMAIN}", "password_file": self.password,
                      **(of_zone or {})})
        sections["node"]["drain_timeout_seconds"] = 0
        sections |= {
            f"interface.{'outside' if is_edge else 'inside'}": {"addresses": self.addresses},
            "media": {"shards": self.shards, "sessions_max": 16},
            "ng": {"unix": self.folder / "ng.sock"},
            "api": {"unix": self.folder / "api.sock", "metrics": ""},
            **self.more_sections}
        if self.holder:
            sections["holder"] = {"unix": self.holder.path}
        self.write_config(sections)
        return self

    def run(self, *words):
        return subprocess.run([self.programs["turnpiked"], "--config", self.config_path, *words],
                              capture_output=True, text=True, check=False)

    @property
    def ng(self):
        return ng.Ng.unix(self.folder / "ng.sock")

    def _finish(self):
        if self.process is not None:
            self.stop()

    def log_text(self):
        return self.log()

    def peer(self):
        return self.zone()["peers"][0]

    def ask(self, *words, as_json=False):
        """What turnpikectl says."""
        return self.control(*(["--json"] if as_json else []), *words)

    def text(self):
        """What an operator reads."""
        return self.ask("zone")

    def metric(self, name, **labels):
        found = []
        for series, value in re.findall(rf"(?m)^{name}(?:{{([^}}]*)}})? (\S+)$",
                                        self.get("/metrics")):
            pairs = dict(re.findall(r'(\w+)="([^"]*)"', series))
            if labels.items() <= pairs.items():
                found.append(float(value))
        case.expect(found, f"/metrics has no {name} with {labels}")
        return sum(found)

    def drops(self):
        """Packets that the relay dropped, by reason."""
        return {reason: float(count) for reason, count in re.findall(
            r'(?m)^turnpike_relay_packets_dropped_total{reason="(\w+)"} (\S+)$',
            self.get("/metrics"))}

    def session_text(self, call_id):
        """What an operator reads of a call."""
        return self.control("session", call_id)

    def refused(self, reason):
        return self.metric("turnpike_zone_refused_total", reason=reason)


class PairNg:
    """NG as the SIP servers of both nodes ask it, one after the other, for a call between
    "outside" and "inside" or between two ends outside.
    """

    def __init__(self, pair):
        self._pair = pair
        self._directions = {}
        self.zone_sdp = []  # what went from node to node

    def _steps(self, call_id):
        """(node, its direction, its name of the call) in the way of an offer."""
        edge, core = self._pair.edge, self._pair.core
        a, b = self._directions[call_id]
        inwards = (edge, ["outside", "dmz/core1"], call_id + "-in")
        outwards = (edge, ["dmz/core1", "outside"], call_id + "-out")
        between = (core, ["dmz/edge1" if a == "outside" else "inside",
                          "dmz/edge1" if b == "outside" else "inside"], call_id)
        return [*([inwards] if a == "outside" else []), between,
                *([outwards] if b == "outside" else [])]

    def request(self, command, **keys):
        call_id = keys.pop("call_id")
        if command == "offer":
            self._directions[call_id] = keys.pop("direction")
        steps = self._steps(call_id)
        if command == "answer":
            steps.reverse()
        for node, direction, name in steps:
            here = dict(keys, call_id=name)
            if command == "offer":
                here["direction"] = direction
            reply = node.ng.request(command, **here)
            if "sdp" in reply:
                keys["sdp"] = reply["sdp"]
                self.zone_sdp.append(reply["sdp"])
            keys.pop("received_from", None)
        return reply


class Echo:
    """The SIP server's stand-in in a namespace: returns what it gets, and ends when told so."""

    def __init__(self, scratch, place):
        with netns.inside(place):
            self._listener = socket.create_server(("127.0.0.1", TARGET_PORT))
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()
        scratch.on_exit(self._listener.close)

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._echo, args=(link,), daemon=True).start()

    @staticmethod
    def _echo(link):
        with contextlib.suppress(OSError), link:
            while data := link.recv(65536):
                link.sendall(data)


# Says what came back, then waits for the next line: for a client that must be another account.
CLIENT = """
import select, socket, sys
link = None
for line in sys.stdin:
    data = line.strip().encode() * int(sys.argv[2])
    try:
        link = link or socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
        link.setblocking(False)
        sent, got = 0, b""
        while len(got) < len(data):
            more = [link] if sent < len(data) else []
            readable, writable, _ = select.select([link], more, [], 30)
            if not readable and not writable:
                raise OSError("nothing came back")
            if writable:
                sent += link.send(data[sent:sent + 65536])
            if readable:
                piece = link.recv(65536)
                if not piece:
                    raise OSError("ended")
                got += piece
        print("same" if got == data else "different", flush=True)
    except OSError as error:
        print("broken:", error, flush=True)
        break
"""


class Client:
    """A local program that connects to a peer's loopback listener, as some account."""

    def __init__(self, scratch, place, account="kamailio", times=1):
        self._process = scratch.spawn(
            "ip", "netns", "exec", place, "setpriv", f"--reuid={account}", "--regid=nogroup",
            "--clear-groups", "python3", "-c", CLIENT, LISTEN_PORT, times,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def echo(self, text):
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)


class Pair:
    """Everything, not started."""

    def __init__(self, scratch, holders=False):
        self._scratch = scratch
        scratch.enter(netns.Netns("tp-edge", "tp-e", "192.0.2.1/24", EDGE + "/24"))
        scratch.enter(netns.Netns("tp-core", "tp-c", "10.40.0.1/24", CORE + "/24"))
        pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        self._nft(FIREWALL)
        scratch.on_exit(self._nft, "delete table inet firewall")
        self.pki = scratch.folder / "pki"
        self.edge = Node(scratch, "edge", "tp-edge", self.pki, holders).configure()
        self.core = Node(scratch, "core", "tp-core", self.pki, holders).configure()
        made = self.edge.run("--make-dev-certs", str(self.pki))
        case.expect(made.returncode == 0, f"no certificates: {made.stderr}")
        self.ng = PairNg(self)
        self.edge_echo, self.core_echo = Echo(scratch, "tp-edge"), Echo(scratch, "tp-core")

    def add_ends(self):
        """Places for clients outside and phones inside."""
        for place in (OUTSIDE, INSIDE):
            self._scratch.enter(netns.Netns(place.name, place.link, place.host_v4 + "/24",
                                            place.v4 + "/24"))
        return self

    def add_v6(self, for_zone):
        """Both families everywhere; `for_zone`: the core dials the edge over IPv6."""
        pathlib.Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
        for place, link, host, address in (
                ("tp-edge", "tp-e", "2001:db8:2::1", EDGE_V6),
                ("tp-core", "tp-c", "fd00:40::1", CORE_V6),
                *((end.name, end.link, end.host_v6, end.v6) for end in (OUTSIDE, INSIDE))):
            add_v6(place, link, host, address)
        self.edge.addresses.append(EDGE_V6)
        self.core.addresses.append(CORE_V6)
        for node in (self.edge, self.core):
            node.dialled = f"[{EDGE_V6}]" if for_zone else EDGE
            node.configure()
        return self

    def with_shards(self, edge, core):
        for node, shards in ((self.edge, edge), (self.core, core)):
            node.shards = shards
            node.configure()
        return self

    def nat_of_core(self, ports):
        """The core's flows reach the edge from these ports of the firewall; those that there are
        do when it has forgotten them."""
        self._nft(f"""
add table ip corenat
flush table ip corenat
table ip corenat {{
  chain out {{
    type nat hook postrouting priority srcnat;
    ip saddr {CORE} udp dport 36000-36011 snat to 192.0.2.1:{ports}
  }}
}}
""")
        self._scratch.on_exit(self.flush_firewall)
        self._scratch.on_exit(self._nft, "add table ip corenat\ndelete table ip corenat")
        return self

    def start(self):
        self.edge.start()
        self.core.start()
        self.wait_up()
        return self

    def flows_bound(self):
        flows = [flow for node in (self.edge, self.core) for flow in node.peer()["flows"]]
        return len(flows) == 2 * self.core.shards and all(
            flow["state"] == "bound" for flow in flows)

    def wait_flows(self):
        case.eventually(self.flows_bound,
                        lambda: f"flows are bound: {self.edge.text()}{self.core.text()}")
        return self

    def close_zone(self):
        """No packet of the zone connection passes any more; media does."""
        self._nft("add element inet firewall shut { 7001 }")

    def open_zone(self):
        self._nft("flush set inet firewall shut")

    @staticmethod
    def spray(ports, each):
        """A stranger sends junk to these ports of the edge."""
        with netns.inside(OUTSIDE.name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            for _ in range(each):
                for port in ports:
                    with contextlib.suppress(OSError):
                        link.sendto(os.urandom(60), (EDGE, port))

    def wait_up(self, timeout=20):
        case.eventually(lambda: self.edge.is_up() and self.core.is_up(),
                        lambda: f"the zone comes up: {self.edge.text()}{self.core.text()}", timeout)

    @staticmethod
    def _nft(rules):
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def close_flows(self):
        """The firewall lets no media through, in either direction."""
        self._nft("flush set inet firewall flows")
        self.flush_firewall()

    def open_flows(self):
        self._nft("add element inet firewall flows { 36000-36011 }")

    @staticmethod
    def dropped_from_edge():
        """Packets that the edge sent without being asked, as the firewall has counted them."""
        answer = subprocess.run(["nft", "-j", "list", "counters"], capture_output=True, text=True,
                                check=True)
        counters = {one["counter"]["name"]: one["counter"]["packets"]
                    for one in json.loads(answer.stdout)["nftables"] if "counter" in one}
        case.expect(counters["to_edge"] > 0, "the firewall has not seen the core connect")
        return counters["from_edge_new"]

    @staticmethod
    def flush_firewall():
        """The firewall forgets every connection (ctnetlink: delete without a filter)."""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as link:
            link.sendall(struct.pack("=IHHIIBBH", 20, (1 << 8) | 2, 5, 1, 0, 0, 0, 0))
            code = struct.unpack_from("=i", link.recv(4096), 16)[0]
        case.expect(code == 0, f"conntrack was not flushed: {os.strerror(-code)}")
