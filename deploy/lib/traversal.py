"""A traversal pair on one host: six network namespaces, two turnpiked, two generated Kamailios.

    client 192.168.7.10 ── 192.168.7.1 nat 198.51.100.7 ── 198.51.100.10 edge 192.0.2.10 ──
    192.0.2.1 firewall 10.20.0.1 ── 10.20.0.10 core 10.30.0.1 ── 10.30.0.10 inside

The firewall lets the core connect to the edge and drops whatever the edge begins; it counts both.
A client behind the NAT lives in `client`, one without NAT in `nat` itself.

    with Topology("tp-") as net, Pair(folder, net, programs) as pair:
        phone = pair.phone_outside("alice")

Hides: namespaces, packet filters, certificates, configuration files, starting and stopping.
Not: what a call should be like; the caller judges. Phones are baresip.py.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess

import baresip
from pair_node import Daemon, PairError, end_group, run_tool, spawn, wait_for, zone_sections

DOMAIN, NUMBER = "pair.test", "1000"
PLACES = ("client", "nat", "edge", "firewall", "core", "inside")
# Joined places, each with its address on the link and the word of the link's ends.
LINKS = (
    ("client", "192.168.7.10", "nat", "192.168.7.1", "cn"),
    ("nat", "198.51.100.7", "edge", "198.51.100.10", "ne"),
    ("edge", "192.0.2.10", "firewall", "192.0.2.1", "ef"),
    ("firewall", "10.20.0.1", "core", "10.20.0.10", "fc"),
    ("core", "10.30.0.1", "inside", "10.30.0.10", "ci"),
)
EDGE_OUTSIDE, EDGE_ZONE, CORE_INSIDE = "198.51.100.10", "192.0.2.10", "10.30.0.1"
ZONE_PORT, LISTEN_PORT, TARGET_PORT = 7001, 7101, 7201
# A further core or edge lives beside the first one: with the next address on each of its links, and
# on loopback.
PHONE_ADDRESS = {"client": "192.168.7.10", "nat": "198.51.100.7", "inside": "10.30.0.10"}

NAT = """
table ip nat {
  chain out {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 192.168.7.0/24 masquerade
  }
}
"""
FIREWALL = """
table inet firewall {
  counter to_edge {}
  counter from_edge_new {}
  set shut { type inet_service; }
  set edges { type ipv4_addr; elements = { 192.0.2.10, 192.0.2.11 } }
  chain forward {
    type filter hook forward priority filter; policy drop;
    tcp dport @shut drop
    tcp sport @shut drop
    ct state established,related accept
    ip saddr 10.20.0.10 ip daddr @edges tcp dport 7001 counter name to_edge accept
    ip saddr 10.20.0.10 ip daddr @edges udp dport 36000-36011 counter name to_edge accept
    iifname "EDGE_LINK" counter name from_edge_new drop
  }
}
"""


class Topology:
    """The places, joined. `prefix` begins the names of namespaces and links."""

    def __init__(self, prefix):
        self.prefix = prefix

    def name(self, place):
        return self.prefix + place

    def command(self, place, *words):
        return ["ip", "netns", "exec", self.name(place), *(str(word) for word in words)]

    def __enter__(self):
        self._remove()
        try:
            for place in PLACES:
                run_tool("ip", "netns", "add", self.name(place))
                run_tool("ip", "-n", self.name(place), "link", "set", "lo", "up")
            for left, left_ip, right, right_ip, word in LINKS:
                self._join(left, left_ip, right, right_ip, word)
            for place, router in (("client", "192.168.7.1"), ("core", "10.20.0.1"),
                                  ("edge", "192.0.2.1"), ("inside", "10.30.0.1")):
                run_tool("ip", "-n", self.name(place), "route", "add", "default", "via", router)
            # Whatever comes by the edge's link counts, whichever address it bears.
            firewall = FIREWALL.replace("EDGE_LINK", self.link_of("firewall", "ef"))
            for place, rules in (("nat", NAT), ("firewall", firewall)):
                run_tool(*self.command(place, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
                run_tool(*self.command(place, "nft", "-f", "-"), text=rules)
        except BaseException:
            self._remove()
            raise
        return self

    def _join(self, left, left_ip, right, right_ip, word):
        ends = [f"{self.prefix}{word}{side}" for side in "lr"]
        run_tool("ip", "link", "add", ends[0], "netns", self.name(left), "type", "veth", "peer",
             "name", ends[1], "netns", self.name(right))
        for place, address, end in ((left, left_ip, ends[0]), (right, right_ip, ends[1])):
            run_tool("ip", "-n", self.name(place), "addr", "add", f"{address}/24", "dev", end)
            run_tool("ip", "-n", self.name(place), "link", "set", end, "up")

    def link_of(self, place, word):
        """The end of link `word` in `place`."""
        left = next(link[0] for link in LINKS if link[4] == word)
        return f"{self.prefix}{word}{'l' if left == place else 'r'}"

    def __exit__(self, *_):
        self._remove()

    def _remove(self):
        """Also what an earlier run left, with the processes that still live there."""
        for place in PLACES:
            for pid in self._pids(place):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", self.name(place)], capture_output=True,
                           check=False)

    def _pids(self, place):
        listed = subprocess.run(["ip", "netns", "pids", self.name(place)], capture_output=True,
                                text=True, check=False)
        return [int(pid) for pid in listed.stdout.split()]

    def shut_zone(self):
        """No packet of zone connections passes the firewall any more; media does."""
        self._nft_of_firewall("add", "element", "inet", "firewall", "shut", f"{{ {ZONE_PORT} }}")

    def open_zone(self):
        self._nft_of_firewall("flush", "set", "inet", "firewall", "shut")

    def _nft_of_firewall(self, *words):
        run_tool(*self.command("firewall", "nft", *words))

    def firewall_counters(self):
        """{"to_edge": packets, "from_edge_new": packets}"""
        answer = json.loads(run_tool(*self.command("firewall", "nft", "-j", "list", "counters")))
        return {one["counter"]["name"]: one["counter"]["packets"]
                for one in answer["nftables"] if "counter" in one}


def next_address(address, number):
    """Of the node with that number, where `address` is the first one's."""
    network, _, host = address.rpartition(".")
    return f"{network}.{int(host) + number - 1}"


def _loopback(number, peer):
    """Where the SIP server and turnpiked of the node with that number meet for a peer."""
    return f"127.0.{number - 1}.{peer}"


def how_it_ended(process):
    code = process.returncode
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"with code {code}"


class Node(Daemon):
    """turnpiked and its Kamailio in one place."""

    def __init__(self, net, role, folder, programs, sections):
        super().__init__(role, net.name(role), folder, programs)
        self.role = role
        peers = [keys for section, keys in sections.items() if ".peer." in section]
        self._target = peers[0]["sip_target"]
        self.write_config(sections)
        self.sidecar_config_path = self.config_path
        self.kamailio = None

    start_daemon, kill_daemon = Daemon.start, Daemon.kill

    def use_relay(self, path):
        """Its Kamailio is to ask another relay than this turnpiked."""
        text = self.config_path.read_text().replace(str(self.folder / "ng.sock"), str(path))
        self.sidecar_config_path = self.folder / "sidecar.toml"
        self.sidecar_config_path.write_text(text)

    def start_kamailio(self, *changes):
        """`changes`: texts (before, after) in the generated kamailio.cfg."""
        run_tool(self.programs["turnpiked"], "--config", self.sidecar_config_path,
                 "--write-sidecar")
        generated = self.folder / "sidecar" / "kamailio.cfg"
        for before, after in changes:
            generated.write_text(generated.read_text().replace(before, after))
        (self.folder / "turnpike_ctl").unlink(missing_ok=True)
        self.kamailio = spawn(self.command(
            "/usr/sbin/kamailio", "-DD", "-E", "-M", 8, "-f",
            self.folder / "sidecar" / "kamailio.cfg", "-Y", self.folder, "-w", self.folder),
            self.folder / "kamailio.log", self.folder)
        # The port that the zone's streams are connected to.
        listens = self.command("ss", "-Hlnt", "src", self._target)
        wait_for(lambda: self._kamailio_has_ended() or (
            run_tool(*listens) and (self.folder / "turnpike_ctl").exists()),
            lambda: f"Kamailio of the {self.role} listens: {self.log('kamailio')[-1500:]}", 20)

    def _kamailio_has_ended(self):
        if self.kamailio.poll() is not None:
            raise PairError(f"{self.ended()[0]}: {self.log('kamailio')[-1200:]}")
        return False

    def kill_kamailio(self):
        process, self.kamailio = self.kamailio, None
        end_group(process)

    def stop(self):
        """Both programs; raises when turnpiked did not end well."""
        self.kill_kamailio()
        super().stop()

    def ended(self):
        """Which of its programs have ended by themselves, in words."""
        return [f"{program} of the {self.role} has ended ({how_it_ended(process)})"
                for program, process in (("turnpiked", self.process), ("kamailio", self.kamailio))
                if process is not None and process.poll() is not None]

    def sip(self, *words):
        """What Kamailio's control socket says."""
        return run_tool("kamcmd", "-s", f"unix:{self.folder}/turnpike_ctl", *words)

    def refusals(self, counter):
        found = re.search(r"[=:] *(\d+)", self.sip("stats.fetch", f"script:{counter}"))
        if not found:
            raise PairError(f"no counter {counter}")
        return int(found.group(1))


class Pair:
    """Configured and up after __enter__, gone after __exit__. `edge`, `core`: sections of the
    configuration that differ from the usual; `users`: who may register; `relay`: of a Node the
    socket of another relay that its Kamailio is to ask; `cores`, `edges`: how many there are."""

    def __init__(self, folder, net, programs, users=("alice", "bob"), edge=None, core=None,
                 relay=None, cores=1, edges=1):
        self.folder, self.net, self.programs = pathlib.Path(folder), net, programs
        self.password = secrets.token_hex(8)
        self._stack = contextlib.ExitStack()
        self.pki = self.folder / "pki"
        self.edges = [self._node("edge", number, self._edge_sections(number, cores), edge)
                      for number in range(1, edges + 1)]
        self.cores = [self._node("core", number, self._core_sections(number, users, edges), core)
                      for number in range(1, cores + 1)]
        self.edge, self.core = self.edges[0], self.cores[0]
        self.nodes = (*self.edges, *self.cores)
        self._relay = relay

    def _node(self, role, number, sections, changes):
        for name, keys in (changes or {}).items():
            sections.setdefault(name, {}).update(keys)
        return Node(self.net, role, self._folder(role, number), self.programs, sections)

    def _folder(self, role, number):
        return self.folder / (role if number == 1 else f"{role}-{number}")

    def _common(self, role, number, peers, **zone):
        folder = self._folder(role, number)
        sections = zone_sections(
            role, f"{role}-{number}", self.pki / "zone-dmz",
            "node" if (role, number) == ("edge", 1) else f"peer-{role}-{number}", peers, DOMAIN,
            domains=[DOMAIN], keepalive_seconds=2, **zone)
        sections["node"]["drain_timeout_seconds"] = 0
        sections.update({
            # Many programs share a host here, and none of this is about how busy it is.
            "media": {"shards": 1, "sessions_max": 64, "busy_max_percent": 100},
            "ng": {"unix": folder / "ng.sock"},
            "api": {"unix": folder / "api.sock", "metrics": f"127.0.0.{number}:9464"},
            "sip": {"domains": [DOMAIN], "directory": folder / "sidecar", "worker_processes": 2,
                    "runtime_directory": folder, "run_user": "root", "relay_user": "root"}})
        return sections

    @staticmethod
    def _peer(name, loopback):
        return {"tls_name": f"{name}.{DOMAIN}", "sip_listen": f"{loopback}:{LISTEN_PORT}",
                "sip_target": f"{loopback}:{TARGET_PORT}"}

    def _edge_sections(self, number, cores):
        peers = {f"core-{core}": self._peer(f"core-{core}", _loopback(number, core))
                 for core in range(1, cores + 1)}
        sections = self._common("edge", number, peers,
                                listen=f"{next_address(EDGE_ZONE, number)}:{ZONE_PORT}")
        sections["interface.outside"] = {"addresses": [next_address(EDGE_OUTSIDE, number)]}
        sections["sip"].update({
            "certificate_file": self.pki / "server.pem",
            "private_key_file": self.pki / "server.key", "trust_file": self.pki / "ca.pem"})
        return sections

    def _core_sections(self, number, users, edges):
        sections = self._common("core", number, {
            f"edge-{edge}": {**self._peer(f"edge-{edge}", _loopback(number, edge)),
                             "address": f"{next_address(EDGE_ZONE, edge)}:{ZONE_PORT}"}
            for edge in range(1, edges + 1)})
        sections["interface.inside"] = {"addresses": [next_address(CORE_INSIDE, number)]}
        sections["sip"].update({"inside_networks": ["10.30.0.0/24"], "keepalive_seconds": 1})
        sections["sip.servers.desk"] = {"uris": [f"sip:{PHONE_ADDRESS['inside']}:5060"]}
        sections["sip.route.desk"] = {"pattern": NUMBER, "servers": "desk"}
        for user in users:
            digest = hashlib.md5(f"{user}:{DOMAIN}:{self.password}".encode()).hexdigest()
            sections[f"sip.user.{user}"] = {"ha1": digest}
        return sections

    def _add_addresses(self):
        for role, nodes, link, first in (("edge", self.edges, "ne", EDGE_OUTSIDE),
                                         ("edge", self.edges, "ef", EDGE_ZONE),
                                         ("core", self.cores, "ci", CORE_INSIDE)):
            for number in range(2, len(nodes) + 1):
                run_tool("ip", "-n", self.net.name(role), "addr", "add",
                         f"{next_address(first, number)}/24", "dev", self.net.link_of(role, link))

    def _make_certificates(self):
        """The first edge makes all but those of further edges."""
        self.edge.tool("--make-dev-certs", self.pki)
        zone = self.pki / "zone-dmz"
        for number in range(2, len(self.edges) + 1):
            own = zone / f"peer-edge-{number}"
            extensions = zone / f"edge-{number}.ext"
            extensions.write_text(f"subjectAltName=DNS:edge-{number}.{DOMAIN},"
                                  f"DNS:cluster.{DOMAIN}\n"
                                  "extendedKeyUsage=serverAuth,clientAuth\n")
            run_tool("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-nodes", "-keyout", f"{own}.key", "-out", f"{own}.csr", "-subj",
                     f"/CN=edge-{number}")
            run_tool("openssl", "x509", "-req", "-in", f"{own}.csr", "-CA", zone / "ca.pem",
                     "-CAkey", zone / "ca.key", "-CAcreateserial", "-days", "30", "-extfile",
                     extensions, "-out", f"{own}.pem")

    def __enter__(self):
        try:
            self._make_certificates()
            self._add_addresses()
            for node in self.nodes:
                self._stack.callback(node.stop)
                node.start_daemon()
                if self._relay:
                    node.use_relay(self._relay(node))
                node.start_kamailio()
            wait_for(self.is_up, lambda: "the zone comes up: " + self.edge.control("zone"), 20)
            wait_for(self.cores_live, lambda: "the cores answer the edge's SIP server: "
                     f"{self.edge.sip('dispatcher.list')}", 10)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        self._stack.close()

    def is_up(self):
        return all(node.is_up() for node in self.nodes)

    def ended(self):
        """Programs of its nodes that have ended by themselves, in words."""
        return [text for node in self.nodes for text in node.ended()]

    def refusals(self):
        """Why the nodes refused calls, in words of their logs; the newest of each."""
        found = [(node.role, re.findall(r'what="offer refused: ([^"]*)"', node.log()))
                 for node in self.nodes]
        return [f"the {role} refused a call: {why[-1]}" for role, why in found if why]

    def cores_live(self):
        """Whether all have answered the edges' OPTIONS."""
        return all(edge.sip("dispatcher.list").count("FLAGS: AP") == len(self.cores)
                   for edge in self.edges)

    def core_sees_phone(self):
        """Whether the phone inside has answered the core's OPTIONS."""
        pattern = re.escape(PHONE_ADDRESS["inside"]) + r":5060\S*\s+FLAGS: AP"
        return re.search(pattern, self.core.sip("dispatcher.list")) is not None

    # -- phones --------------------------------------------------------------------------------

    def phone_outside(self, user="alice", place="client", tone_hz=1000, answer="auto",
                      media_encryption="srtp-mand", wait=True, **options):
        """Over TLS; registered when it comes back unless told not to wait."""
        phone = baresip.Baresip(
            user, self.folder / f"phone-{user}",
            baresip.Account(user, DOMAIN, options.pop("password", self.password), transport="tls",
                            outbound=f"{EDGE_OUTSIDE}:5061", answer=answer,
                            media_encryption=media_encryption),
            address=PHONE_ADDRESS[place], namespace=self.net.name(place), tone_hz=tone_hz,
            ca_file=str(self.pki / "ca.pem"), **options)
        self._stack.enter_context(phone)
        if wait:
            phone.wait_registered(15)
        return phone

    def phone_inside(self, tone_hz=440, answer="auto", **options):
        """On plain RTP, reached by NUMBER once it answers the core's OPTIONS."""
        phone = baresip.Baresip(
            NUMBER, self.folder / "phone-inside",
            baresip.Account(NUMBER, DOMAIN, transport="udp", outbound=f"{CORE_INSIDE}:5060",
                            answer=answer, registration_seconds=0),
            address=PHONE_ADDRESS["inside"], sip_port=5060, namespace=self.net.name("inside"),
            tone_hz=tone_hz, **options)
        self._stack.enter_context(phone)
        return phone


def call_uri(user):
    return f"sip:{user}@{DOMAIN}"


@dataclasses.dataclass(frozen=True)
class Heard:
    """What came of a call."""

    caller_hz: float  # the tone that the caller heard
    called_hz: float
    suites: tuple  # SRTP suite of caller and called, "" for plain RTP


def establish(caller, called, uri):
    """Dials and waits until both say that the call is up."""
    for phone in (caller, called):
        phone.forget_events()
    caller.dial(uri)
    try:
        caller.wait_established(15)
        called.wait_established(5)
    except baresip.BaresipError as error:
        raise PairError(f"the call to {uri} did not come up: {error}") from error


def hear(*phones, packets=60):
    """Waits until each phone has received that many more packets of RTP."""
    for phone in phones:
        before = phone.rtp_statistics().get("received", 0)
        wait_for(lambda: phone.rtp_statistics().get("received", 0) >= before + packets,
                 lambda: f"{phone.name} hears {packets} packets: {phone.rtp_statistics()}", 10)


def end(phone, other):
    """Hangs up at `phone`; both know it afterwards."""
    phone.hang_up()
    for one in (phone, other):
        one.wait_closed(5)


def judge_tones(caller, called, seconds=0.7):
    """After the call: what each recorded must be the other's tone."""
    for phone, other in ((caller, called), (called, caller)):
        heard = phone.heard()
        if not heard.holds(other.tone_hz, seconds):
            raise PairError(f"{phone.name} should hear {other.tone_hz} Hz for {seconds} s, "
                            f"heard {heard}")
    return caller.heard().frequency_hz, called.heard().frequency_hz


def talk(caller, called, uri, packets=60):
    """A whole call: both hear `packets` packets and the other's tone; the caller hangs up."""
    establish(caller, called, uri)
    hear(caller, called, packets=packets)
    suites = (caller.suite(), called.suite())
    end(caller, called)
    return Heard(*judge_tones(caller, called), suites)
