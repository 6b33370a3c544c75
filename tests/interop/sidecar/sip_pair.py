"""A traversal pair under test: two real turnpiked, a generated Kamailio on each, relays that count
what they are asked for, agents at all places.

    pair = Pair(scratch)
    alice = pair.client("alice")        # registered over TLS, behind a NAT
    desk = pair.desk()                  # the phone inside

Hides: deploy/lib/traversal.py, which brings the nodes up; certificates; registrations.
"""

import dataclasses
import os
import pathlib
import re

import edge as edges
import fake_ng
import sip
import ws
from lib import turnpiked
from lib.case import eventually, expect
import netns
import traversal
from traversal import CORE_INSIDE, DOMAIN, EDGE_OUTSIDE, LISTEN_PORT, NUMBER

TLS = (EDGE_OUTSIDE, 5061)
BROWSERS = {"sip": {"wss_port": 8443, "websocket_origins": ["https://phone.example.com"]}}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an agent lives."""

    name: str
    v4: str

    def sockets(self):
        return netns.inside(self.name)


class Pair:
    """Up after construction. `how_many`: `cores`, `edges`, else one of each. `relays`: a FakeNg for
    each node, "edge", "core", "core-2"."""

    def __init__(self, scratch, edge=None, core=None, **how_many):
        self.scratch = scratch
        self.net = scratch.enter(traversal.Topology("tp-"))
        self.relays = {}
        self.pair = scratch.enter(traversal.Pair(
            scratch.folder, self.net, programs(), edge=edge, core=core, relay=self._relay,
            **how_many))
        self.edge, self.core = self.pair.edge, self.pair.core
        scratch.on_exit(self._print_logs)
        self.certificates = edges.Certificates(self.pair.pki)

    def _relay(self, node):
        relay = fake_ng.FakeNg(str(node.folder / "fake.sock"), health=False)
        self.relays[node.folder.name] = relay
        self.scratch.on_exit(relay.close)
        return relay.path

    def _print_logs(self):
        for node in self.pair.nodes:
            print("".join(f"     {node.name} | {line}\n"
                          for line in node.log("kamailio").splitlines()[-25:]), end="")

    def of(self, role, command):
        return self.relays[role].of(command)

    def offers(self, role):
        """Of calls that the relay still has: without those that ended with a challenge."""
        deleted = passes(self.of(role, "delete"))
        return [offer for offer in self.of(role, "offer") if offer["call-id"] not in deleted]

    def connect(self, place="client", edge=1):
        """To the edge with that number."""
        agent = sip.Agent(self.place(place), 0, "tls")
        self.scratch.on_exit(agent.close)
        return agent.connect((traversal.next_address(EDGE_OUTSIDE, edge), TLS[1]),
                             self.certificates.context(), DOMAIN)

    def connect_inside(self):
        """A phone that may register with the core, over TCP."""
        agent = sip.Agent(self.place("inside"), 0, "tcp")
        self.scratch.on_exit(agent.close)
        return agent.connect((CORE_INSIDE, 5060))

    def place(self, name):
        address = traversal.PHONE_ADDRESS.get(name, "127.0.0.1")
        return Place(self.net.name(name), address)

    def client(self, user, place="client", edge=1, **options):
        agent = self.connect(place, edge)
        answer = edges.register(agent, user, self.pair.password, domain=DOMAIN, **options)
        expect(answer.status == 200, f"REGISTER of {user}: {answer.start}")
        return agent

    def browser(self, user):
        """A registered client on a WebSocket."""
        agent = ws.Agent(self.place("client"))
        self.scratch.on_exit(agent.close)
        agent.connect((EDGE_OUTSIDE, 8443), self.certificates.context(), DOMAIN,
                      origin="https://phone.example.com")
        answer = edges.register(agent, user, self.pair.password, domain=DOMAIN)
        expect(answer.status == 200, f"REGISTER of {user}: {answer.start}")
        return agent

    def desk(self):
        """The phone inside, once the core knows that it lives."""
        agent = sip.Agent(self.place("inside"), 5060, "udp")
        self.scratch.on_exit(agent.close)
        agent.connect((CORE_INSIDE, 5060))
        agent.answers_options = True
        def lives():
            agent._read(0.05)
            return self.pair.core_sees_phone()
        eventually(lives, "the core sees the phone", 10)
        return agent

    def edge_sees_core(self):
        """Whether the first core has answered the OPTIONS of the edge's SIP server."""
        listed = self.edge.sip("dispatcher.list")
        return "FLAGS: AP" in listed.partition(f"127.0.0.1:{LISTEN_PORT}")[2][:80]

    def stream(self, place):
        """What the SIP server in `place` could do: a connection into the zone from there."""
        agent = sip.Agent(self.place(place), 0, "tcp")
        self.scratch.on_exit(agent.close)
        return agent.connect(("127.0.0.1", LISTEN_PORT))

    def remembered(self, role, table):
        """How many entries a table of the SIP server's script has."""
        stats = getattr(self, role).sip("htable.stats")
        return int(re.search(rf"name: {table}\s.*?all: (\d+)", stats, re.S)[1])

    @staticmethod
    def processes_of(node):
        """Of its Kamailio."""
        group = str(os.getpgid(node.kamailio.pid))
        stats = {path.parent.name: path.read_text() for path in
                 pathlib.Path("/proc").glob("[0-9]*/stat")}
        return [int(pid) for pid, text in stats.items()
                if text.rpartition(")")[2].split()[2] == group]

    def paths(self):
        """Of the core's registrations."""
        return [line.strip() for line in self.core.sip("ul.dump").splitlines() if "Path:" in line]

    def invite(self, agent, user, uri, body, **options):
        return edges.invite(agent, user, uri, body, self.pair.password, domain=DOMAIN, **options)


def programs():
    return {name: turnpiked.executable(name) for name in ("turnpiked", "turnpikectl")}


def uri(user):
    return f"sip:{user}@{DOMAIN}"


def hang_up(side, other, request="BYE"):
    """`side`, a sip.Call, ends the call; `other` is an agent."""
    side.request(request)
    sip.reply(other, other.expect(request), 200, "OK")
    expect(side.agent.final(method=request).status == 200, f"{request} is answered")


def hold(caller, other):
    """`caller`, a sip.Call of a client or peer, makes a new offer; `other` is the called agent."""
    again = caller.request("INVITE", edges.outside_sdp(direction="sendonly"))
    sip.reply(other, other.expect("INVITE"), 200, "OK", NUMBER, edges.inside_sdp())
    expect(caller.agent.final(method="INVITE").status == 200, "held")
    caller.request("ACK", cseq=int(again.first("cseq").split()[0]))
    other.expect("ACK")


def passes(commands):
    """The relay's names of the calls that were offered."""
    return {command["call-id"] for command in commands}


def established(pair, alice, desk):
    """Of a call from alice to the phone inside: (caller's sip.Call, called's)"""
    sent = pair.invite(alice, "alice", uri(NUMBER), edges.outside_sdp())
    asked = desk.expect("INVITE")
    sip.reply(desk, asked, 200, "OK", NUMBER, edges.inside_sdp(), to_tag="desk")
    caller = edges.caller_side(alice, "alice", sent, alice.final(method="INVITE"))
    caller.request("ACK", cseq=caller.cseq)
    desk.expect("ACK")
    return caller, edges.called_side(desk, NUMBER, asked, "desk")
