"""Packet filter rules that turnpiked generates, loaded at edge, firewall and core: the zone comes
up by them and by nothing less, nobody else gets in, media makes no state on a node.
"""

import json
import os
import pathlib
import socket
import struct
import subprocess

from lib.case import case, eventually, expect, note, run
from lib.network import INSIDE as INSIDE_PLACE, OUTSIDE
from lib.pair import CORE, EDGE, ZONE_PORT, Client, Pair
from lib.turnpiked import executable
import netns

OTHER_OF_EDGE = "192.0.2.77"  # an address in the edge's network that no configuration names
INSIDE = "10.40.0.0/24"
FLOOD_PORTS = 4000


def _nft(place, *words, rules=None):
    """nft in a namespace, or on the router between the two (None)."""
    inside = ["ip", "netns", "exec", place] if place else []
    done = subprocess.run([*inside, "nft", *words], input=rules, capture_output=True, text=True,
                          check=False)
    expect(done.returncode == 0, f"nft {words}: {done.stderr}{rules}")
    return done.stdout


def _packets(place, table, counter):
    listed = json.loads(_nft(place, "-j", "list", "counter", "inet", table, counter))
    return next(one["counter"]["packets"] for one in listed["nftables"] if "counter" in one)


def _generated(place, config, where, *words, before=()):
    """Rules as the place's own turnpiked gives them; `before`: a command that runs it."""
    done = subprocess.run(
        ["ip", "netns", "exec", place, *before, executable(), "--config", config,
         "--print-firewall", where, *words], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL)
    expect(done.returncode == 0, f"no rules: {done.stderr}")
    said, commented = ("No SSH session was found" in text for text in (done.stderr, done.stdout))
    expect(said == commented, f"warned in one place only: {done.stderr}{done.stdout}")
    return done.stdout


def _load_generated(pair):
    """The generated rules at all three places, and none of ours. Gives them by place."""
    _nft(None, "flush", "chain", "inet", "firewall", "forward")
    _nft(None, "-f", "-", rules="chain inet firewall forward { policy accept; }")
    edge, core = pair.edge.config_path, pair.core.config_path
    rules = {None: _generated("tp-core", core, "firewall"),
             "tp-edge": _generated("tp-edge", edge, "edge", "--cores", CORE, "--open", "tcp/2222",
                                   "--trusted", "10.99.0.0/24"),
             "tp-core": _generated("tp-core", core, "core", "--trusted", INSIDE)}
    for place, text in rules.items():
        for words in (["-c", "-f", "-"], ["-f", "-"], ["-f", "-"]):
            _nft(place, *words, rules=text)
    return rules


def _pair(scratch, dialled=EDGE):
    """Not started, with generated rules."""
    pair = Pair(scratch)
    pair.core.dialled = dialled
    pair.core.configure()
    scratch.on_exit(_nft, None, "delete", "table", "inet", "turnpike_firewall")
    return pair, _load_generated(pair)


def _address(place, link, *words):
    subprocess.run(["ip", "-n", place, "address", "add", *words, "dev", link], check=True)


def _try(place, address, port, source=""):
    """None when it connects, else what kind of error."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with netns.inside(place), socket.socket(family) as link:
        link.settimeout(0.3)
        link.bind((source, 0))
        try:
            link.connect((address, port))
        except OSError as error:
            return type(error)
    return None


def _stopped(error):
    """By a packet filter: nothing came back."""
    return error is not None and issubclass(error, TimeoutError)


# First: the router may still know connections of an earlier pair, and lets those in.
@case
def without_a_rule_the_zone_stays_down(scratch):
    pair, rules = _pair(scratch)
    pair.edge.start()
    for place, table, counter in ((None, "turnpike_firewall", "core_to_edge_other"),
                                  ("tp-edge", "turnpike_edge", "refused")):
        lines = rules[place].splitlines()
        kept = [line for line in lines if not line.endswith("accept") or str(ZONE_PORT) not in line]
        expect(len(kept) == len(lines) - 1, f"one rule for TCP {ZONE_PORT}: {rules[place]}")
        _nft(place, "-f", "-", rules="\n".join(kept) + "\n")
        pair.core.start()
        eventually(lambda: _packets(place, table, counter) > 0,
                   lambda: f"{table} stops the core: {_nft(place, 'list', 'counters')}"
                           f"{pair.core.log()[-800:]}")
        expect(not pair.core.is_up() and not pair.edge.is_up(), "up without the rule")
        _nft(place, "-f", "-", rules=rules[place])
        pair.wait_up()
        pair.core.stop()


@case
def the_zone_comes_up_and_nothing_else(scratch):
    pair, rules = _pair(scratch)
    _address("tp-edge", "tp-e-p", OTHER_OF_EDGE + "/24")
    pair.start()
    pair.wait_flows()
    for place in ("tp-edge", "tp-core"):
        expect(Client(scratch, place).echo("INVITE") == "same", f"no echo from {place}")
    expect(_packets(None, "turnpike_firewall", "core_to_edge") >= 3, "two of TCP, one of UDP")
    for place, table, counter in (("tp-edge", "turnpike_edge", "to_core_new"),
                                  (None, "turnpike_firewall", "edge_to_core_new"),
                                  ("tp-core", "turnpike_core", "from_edge_new")):
        # Each place stops the edge by itself; the first one that it meets counts.
        for source in ("", OTHER_OF_EDGE):
            before = _packets(place, table, counter)
            expect(source or before == 0, f"{counter} before")
            expect(_stopped(_try("tp-edge", CORE, 22, source)), f"{table} lets {source} connect")
            expect(_packets(place, table, counter) > before, f"{counter} has not counted {source}")
        if place is None:
            with netns.inside("tp-edge"):
                subprocess.run(["ip", "address", "add", "10.20.0.99/32", "dev", "lo"], check=True)
            expect(_stopped(_try("tp-edge", CORE, 22, "10.20.0.99")), "a forged address passes")
            expect(_packets(None, table, "forged") > 0, "the forged address is not counted")
        if place != "tp-core":
            _nft(place, "flush", "table", "inet", table)
    _nft("tp-core", "flush", "table", "inet", "turnpike_core")
    expect(_try("tp-edge", CORE, 22) is ConnectionRefusedError, "it was not the rules")
    # What the edge does not offer is not reached; neither is anything else of it by the core.
    for place, text in rules.items():
        _nft(place, "-f", "-", rules=text)
    expect(_stopped(_try("tp-core", EDGE, 9)), "the edge answers on a port of nothing")
    expect(_packets(None, "turnpike_firewall", "core_to_edge_other") > 0, "not counted")
    for address in (EDGE, OTHER_OF_EDGE):
        for port, offered in ((2222, True), (22, False), (9, False)):
            answer = _try(None, address, port)
            expect((answer is ConnectionRefusedError) == offered, f"{address}:{port}: {answer}")
    expect(pair.edge.is_up() and pair.core.is_up(), "the zone was touched")


@case
def an_edge_behind_an_address_of_the_firewall(scratch):
    pair, _ = _pair(scratch, dialled=OTHER_OF_EDGE)
    _nft(None, "-f", "-", rules=f"""table ip nat {{
      chain in {{
        type nat hook prerouting priority dstnat
        ip daddr {OTHER_OF_EDGE} dnat to {EDGE}
      }}
    }}""")
    scratch.on_exit(_nft, None, "delete", "table", "ip", "nat")
    pair.start()
    pair.wait_flows()
    expect(_packets(None, "turnpike_firewall", "core_to_edge") >= 3, "two of TCP, one of UDP")
    expect(_stopped(_try("tp-core", OTHER_OF_EDGE, 9)), "the core reaches other ports")
    expect(_packets(None, "turnpike_firewall", "core_to_edge_other") > 0, "not counted")
    expect(_stopped(_try("tp-edge", CORE, 22)), "the edge gets in by its own address")


def _tracked(place):
    with netns.inside(place):
        # Of the namespace that its reader is in.
        return int(pathlib.Path("/proc/thread-self/net/stat/nf_conntrack").read_text()
                   .splitlines()[1].split()[0], 16)


def _flood(place, address, ports):
    with netns.inside(place), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        for port in ports:
            try:
                link.sendto(os.urandom(172), (address, port))
            except OSError:  # the queue of the link is full, or the other end said no
                continue


@case
def floods_of_media_ports_make_no_state(scratch):
    pair, rules = _pair(scratch)
    pair.add_ends().start()
    _nft(None, "flush", "table", "inet", "turnpike_firewall")  # it would stop floods of the core
    pair.wait_flows()
    before = {place: _tracked(place) for place in ("tp-edge", "tp-core")}
    expect(1 <= before["tp-edge"] <= 8, f"of TCP there is state: {before}")
    _flood(OUTSIDE.name, EDGE, [*range(36000, 36012), *range(40000, 40000 + FLOOD_PORTS)])
    _flood(INSIDE_PLACE.name, CORE, range(40000, 40000 + FLOOD_PORTS))
    after = {place: _tracked(place) for place in before}
    note(f"connections known before and after 2 x {FLOOD_PORTS} datagrams: {before} {after}")
    for place, count in after.items():
        expect(count <= before[place] + 8, f"{place}: {before[place]} became {count}")
    expect(pair.flows_bound() and pair.edge.is_up(), "the pair was touched")
    # The judge itself: the same with state.
    for place in ("tp-edge", "tp-core"):
        _nft(place, "-f", "-", rules=rules[place].replace(" notrack", " accept"))
    for place, source, address in (("tp-edge", OUTSIDE, EDGE), ("tp-core", INSIDE_PLACE, CORE)):
        _flood(source.name, address, range(40000, 40000 + FLOOD_PORTS))
        count = _tracked(place)
        expect(count > before[place] + FLOOD_PORTS // 2, f"{place} tracks nothing: {count}")


V6_EDGE, V6_CORE = "2001:db8:9::10", "2001:db8:9::20"
V6_TOML = """
[node]
role = "{role}"
[interface.{interface}]
addresses = ["{own}"]
[ng]
unix = "{folder}/ng.sock"
[zone.dmz]
{listen}
tls_name = "{role}.example.com"
tls_verify_subject = "cluster.example.com"
certificate_file = "n.pem"
private_key_file = "n.key"
trust_file = "ca.pem"
password_file = "password"
[zone.dmz.peer.p1]
tls_name = "peer.example.com"
{dial}
"""


@case
def neighbours_on_one_link_find_each_other(scratch):
    for name in ("tp-six-e", "tp-six-c"):
        subprocess.run(["ip", "netns", "add", name], check=True)
        scratch.on_exit(subprocess.run, ["ip", "netns", "del", name])
    subprocess.run(["ip", "link", "add", "six", "netns", "tp-six-e", "type", "veth", "peer", "name",
                    "six", "netns", "tp-six-c"], check=True)
    place = f"[{V6_EDGE}]:{ZONE_PORT}"
    for name, role, own in (("tp-six-e", "edge", V6_EDGE), ("tp-six-c", "core", V6_CORE)):
        for end in ("lo", "six"):
            subprocess.run(["ip", "-n", name, "link", "set", end, "up"], check=True)
        _address(name, "six", own + "/64", "nodad")
        config = scratch.folder / f"{role}.toml"
        edge = role == "edge"
        config.write_text(V6_TOML.format(
            role=role, own=own, folder=scratch.folder, interface="outside" if edge else "inside",
            listen=f'listen = "{place}"' if edge else "",
            dial="" if edge else f'address = "{place}"'))
        words = ["--cores", V6_CORE] if edge else []
        _nft(name, "-f", "-", rules=_generated(name, config, role, *words))
    with netns.inside("tp-six-e"):
        listener = socket.create_server((V6_EDGE, ZONE_PORT), family=socket.AF_INET6)
        scratch.on_exit(listener.close)
    with netns.connect("tp-six-c", V6_EDGE, ZONE_PORT, 5) as link:
        served, _ = listener.accept()
        with served:
            for place, speaker, hearer in (("tp-six-e", served, link), ("tp-six-c", link, served)):
                subprocess.run(["ip", "-n", place, "neigh", "flush", "dev", "six"], check=True)
                speaker.sendall(b"who has it?")
                hearer.settimeout(5)
                expect(hearer.recv(64) == b"who has it?", f"{place} does not find its neighbour")
    expect(_packets("tp-six-c", "turnpike_core", "from_edge_new") == 0, "counted as an attack")
    expect(_packets("tp-six-e", "turnpike_edge", "to_core_new") == 0, "counted as an attack")
    expect(_stopped(_try("tp-six-e", V6_CORE, 22)), "the edge reaches the core")


DMZ_CORE, DMZ_EDGE, DMZ_STRANGER = "10.50.0.2", "10.50.0.1", "10.50.0.9"
FAR_OPERATOR, FAR_NETWORK = "10.70.0.5", "10.70.0.0/16"
LAN_CORE, LAN_NETWORK, LAN_FORGED = "10.60.0.2", "10.60.0.0/24", "10.60.0.5"


def _core_with_two_links(scratch):
    """tp-op-c: `lan`, and `dmz` to tp-op-e, where an edge, a stranger and an operator are. Gives
    the core's configuration file."""
    for name in ("tp-op-c", "tp-op-e"):
        subprocess.run(["ip", "netns", "add", name], check=True)
        scratch.on_exit(subprocess.run, ["ip", "netns", "del", name])
    for link in ("dmz", "lan"):
        subprocess.run(["ip", "link", "add", link, "netns", "tp-op-c", "type", "veth", "peer",
                        "name", link, "netns", "tp-op-e"], check=True)
    for name in ("tp-op-c", "tp-op-e"):
        for link in ("lo", "dmz", "lan"):
            subprocess.run(["ip", "-n", name, "link", "set", link, "up"], check=True)
    _address("tp-op-c", "dmz", DMZ_CORE + "/24")
    _address("tp-op-c", "lan", LAN_CORE + "/24")
    for address in (DMZ_EDGE, DMZ_STRANGER):
        _address("tp-op-e", "dmz", address + "/24")
    for address in (FAR_OPERATOR, LAN_FORGED):
        _address("tp-op-e", "lo", address + "/32")
    for name, network, via in (("tp-op-c", FAR_NETWORK, DMZ_STRANGER),
                               ("tp-op-e", LAN_CORE, DMZ_CORE)):
        subprocess.run(["ip", "-n", name, "route", "add", network, "via", via], check=True)
    config = scratch.folder / "core.toml"
    config.write_text(V6_TOML.format(role="core", own=LAN_CORE, folder=scratch.folder,
                                     interface="inside", listen="",
                                     dial=f'address = "{DMZ_EDGE}:{ZONE_PORT}"'))
    return config


def _expect_let_in(port, let_in):
    for source in (DMZ_EDGE, DMZ_STRANGER, FAR_OPERATOR, LAN_FORGED):
        answer = _try("tp-op-e", DMZ_CORE, port, source)
        kind = ConnectionRefusedError if source in let_in else TimeoutError
        expect(answer is not None and issubclass(answer, kind), f"{source} to {port}: {answer}")


@case
def the_operator_comes_in_by_the_edges_interface(scratch):
    config = _core_with_two_links(scratch)

    def loaded(*words, before=()):
        text = _generated("tp-op-c", config, "core", *words, before=before)
        _nft("tp-op-c", "-f", "-", rules=text)
        return text

    without = ("env", "-u", "SSH_CONNECTION", "-u", "SUDO_USER")
    by_edges = 'iifname { "dmz" } counter'
    expect(by_edges in loaded(before=without), "the interface of the edges alone is not found")
    _expect_let_in(22, ())
    loaded("--trusted", f"{FAR_NETWORK},{LAN_NETWORK}", before=without)
    _expect_let_in(22, (FAR_OPERATOR,))
    loaded("--open", "tcp/2200", before=without)
    _expect_let_in(22, ())
    _expect_let_in(2200, (DMZ_STRANGER, FAR_OPERATOR, LAN_FORGED))
    session = f"SSH_CONNECTION={DMZ_STRANGER} 50000 {DMZ_CORE} 2222"
    sudo = ("env", session, "bash", "-c",
            'env -u SSH_CONNECTION SUDO_USER=ann "$@"; exit $?', "sudo")
    for before in (("env", session), sudo):
        expect(by_edges not in loaded(before=before), "the session's interface is the edges' alone")
        expect(by_edges in loaded("--edge-interfaces", "dmz", before=before), "not as told")
    _expect_let_in(2222, (DMZ_STRANGER,))
    _expect_let_in(22, ())
    subprocess.run(["ip", "-n", "tp-op-c", "route", "add", "default", "via", DMZ_STRANGER],
                   check=True)
    expect(by_edges not in loaded(before=without), "the way to everybody is the edges' alone")


@case
def a_core_hears_the_routers_of_its_edges_link(scratch):
    config = _core_with_two_links(scratch)
    _nft("tp-op-c", "-f", "-", rules=_generated("tp-op-c", config, "core", "--edge-interfaces",
                                                "dmz"))
    with netns.inside("tp-op-c"):
        index = socket.if_nametoindex("dmz")
        client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        client.bind(("::", 546))
        icmp = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                        socket.inet_pton(socket.AF_INET6, "ff02::1") + struct.pack("@I", index))
        listed = json.loads(subprocess.run(["ip", "-j", "-6", "address", "show", "dmz"],
                                           capture_output=True, check=True).stdout)
        own = listed[0]["addr_info"][0]["local"]

    def heard(of, what):
        of.settimeout(0.2)
        try:
            while True:
                if of.recv(256).startswith(what):
                    return True
        except TimeoutError:
            return False

    with client, icmp, netns.inside("tp-op-e"):
        scope = socket.if_nametoindex("dmz")
        server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        with server, router:
            def sent(link, data, place):
                try:
                    link.sendto(data, place)
                except OSError:  # the link has no address of its own yet
                    return False
                return True

            def arrives(link, data, place, of):
                return lambda: sent(link, data, place) and heard(of, data[:1])

            eventually(arrives(server, b"advertise", (own, 546, 0, scope), client),
                       "an answer of DHCPv6 comes in")
            for kind, about in ((134, "a router's word"), (130, "a query of MLD")):
                eventually(arrives(router, bytes([kind]) + bytes(23), ("ff02::1", 0, 0, scope),
                                   icmp), f"{about} comes in")
            expect(not arrives(server, b"else", (own, 547, 0, scope), client)(), "other ports")
            before = _packets("tp-op-c", "turnpike_core", "from_edge_new")
            expect(before > 0, "what else comes by the link is not dropped")


run()
