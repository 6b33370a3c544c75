"""Strangers from many addresses hold all that they can get; users call as ever."""

# time limit: 120 s

import subprocess

import edge as edges
import sip
import ws
from edge import DOMAIN, ORIGIN, TLS, WSS, Edge, case, dtls_sdp, inside_sdp, network, outside_sdp
from lib.case import expect

PARTS = 8  # all figures that belong together are an eighth of the generated ones
OF_NETWORK = 20
HOST_V6 = "2001:db8:51::1"
MANY_V4 = [f"198.51.100.{number}" for number in range(20, 25)]
# In another /64 than the edge, whose zeros make two spellings of it.
MANY_V6 = ["2001:db8:77::1", "2001:db8:77:0:1:1:1:1", "2001:db8:77:0:ffff::", "2001:db8:77::2:1"]
NEXT_V6 = "2001:db8:77:1::1"  # of the next /64


def live_at(addresses):
    """The outside has these addresses too."""
    for address in addresses:
        link = network.OUTSIDE.link
        length = 128 if ":" in address else 32
        subprocess.run(["ip", "-n", network.OUTSIDE.name, "addr", "add", f"{address}/{length}",
                        "dev", f"{link}-p", *(["nodad"] if length == 128 else [])], check=True)
        subprocess.run(["ip", "route", "add", f"{address}/{length}", "dev", link], check=True)


def scaled(edge):
    """The edge with an eighth of its memory, and of everything that is sized by it. Returns the
    most strangers there may be, and the most connections."""
    text = (edge.directory / "kamailio.cfg").read_text()
    figures = {}
    for name in ("shm_mem_size=", "#!define WEBSOCKET_STRANGERS_MAX ", "tcp_max_connections=",
                 "tls_max_connections="):
        line = next(line for line in text.splitlines() if line.startswith(name))
        figures[name] = (line, int(line[len(name):]) // PARTS)
    edge.restart(*((f"{line}\n", f"{name}{value}\n") for name, (line, value) in figures.items()),
                 ("NETWORK_STRANGERS_MAX 100", f"NETWORK_STRANGERS_MAX {OF_NETWORK}"))
    return (figures["#!define WEBSOCKET_STRANGERS_MAX "][1], figures["tcp_max_connections="][1])


def remote_for(address, port):
    return (HOST_V6 if ":" in address else edges.OUTSIDE, port)


class Crowd:
    """Connections that nobody ever uses."""

    def __init__(self, edge):
        self.edge, self.context, self.members = edge, edge.certificates.context(), []

    def websocket(self, address) -> int:
        """One more; the status of its handshake."""
        agent = ws.Agent(network.OUTSIDE, address)
        try:
            agent.connect(remote_for(address, WSS[1]), self.context, DOMAIN, origin=ORIGIN)
        except ws.Refused as refused:
            agent.close()
            return refused.status
        self.members.append(agent)
        return 101

    def tls(self, address) -> bool:
        """One more without a word on it; whether it came to stand."""
        agent = sip.Agent(network.OUTSIDE, 0, "tls", address)
        try:
            agent.connect(remote_for(address, TLS[1]), self.context, DOMAIN)
        except OSError:
            agent.close()
            return False
        self.members.append(agent)
        return True

    def leave(self):
        while self.members:
            agent = self.members.pop()
            if isinstance(agent, ws.Agent):
                agent.send_raw(ws.frame(b"\x03\xe8", ws.CLOSE))
            agent.close()


def call(edge, caller, user, to_user, called, offer, answer):
    """INVITE, 200, ACK, BYE."""
    edge.ng.commands.clear()
    sent = edges.invite(caller, user, f"sip:{to_user}@{DOMAIN}", offer)
    asked = called.expect("INVITE")
    sip.reply(called, asked, 200, "OK", to_user, answer, to_tag=to_user)
    final = caller.final(method="INVITE")
    expect(final.status == 200, final.start)
    calling = edges.caller_side(caller, user, sent, final)
    calling.request("ACK", cseq=calling.cseq)
    called.expect("ACK")
    calling.request("BYE")
    sip.reply(called, called.expect("BYE"), 200, "OK")
    expect(caller.final(method="BYE").status == 200, "BYE is answered")


@case.case
def users_call_while_strangers_hold_all_that_they_can(scratch):
    edge = Edge(scratch, {"sip": {"requests_per_second_max": 1000}})
    strangers_max, connections_max = scaled(edge)
    live_at(MANY_V4 + MANY_V6 + [NEXT_V6])
    pbx, alice, bob = edge.inside_server(), edge.browser("alice"), edge.client("bob")
    crowd = Crowd(edge)
    scratch.on_exit(crowd.leave)
    for count in range(OF_NETWORK):
        expect(crowd.websocket(MANY_V6[count % len(MANY_V6)]) == 101, f"number {count} of a /64")
    refused = [crowd.websocket(address) for address in MANY_V6]
    expect(refused == [503] * len(MANY_V6), f"the /64 has all that it gets: {refused}")
    expect(crowd.websocket(NEXT_V6) == 101, "the next one has its own")
    for address in MANY_V4:
        while crowd.websocket(address) == 101:
            pass
    expect(len(crowd.members) == strangers_max == edge.remembered("strangers"),
           f"{len(crowd.members)} strangers, {edge.remembered('strangers')} known")
    expect(crowd.websocket(network.OUTSIDE.v4) == 503, "of a new address, but one too many in all")
    expect(edge.counter("refused_strangers") == len(MANY_V6) + len(MANY_V4) + 1, "counted")
    for number in range(connections_max):
        if not crowd.tls((MANY_V4 + MANY_V6)[number % 9]):
            break
    held = len(crowd.members)
    expect(connections_max - 8 <= held < connections_max, f"{held} of {connections_max}")
    memory = edge.memory()
    case.note(f"{held} connections of strangers: {memory}")
    expect(memory["free"] > memory["total"] / 4, f"memory is left: {memory}")
    call(edge, alice, "alice", "6001", pbx, dtls_sdp(), inside_sdp())
    call(edge, bob, "bob", "6001", pbx, outside_sdp(), inside_sdp())
    call(edge, bob, "bob", "alice", alice, outside_sdp(), dtls_sdp())
    call(edge, alice, "alice", "bob", bob, dtls_sdp(), outside_sdp())
    crowd.leave()
    case.eventually(lambda: edge.remembered("strangers") == 0, "they are gone", 20)
    expect(edge.browser("bob") and edge.client("alice"), "there is room for who comes")


@case.case
def a_flood_from_many_addresses_of_a_64_is_one_flood(scratch):
    edge = Edge(scratch, {"sip": {"requests_per_second_max": 20}})
    live_at(MANY_V6 + [NEXT_V6])
    crowd = Crowd(edge)
    scratch.on_exit(crowd.leave)
    expect(all(crowd.tls(address) for address in MANY_V6 + [NEXT_V6]), "all are let in")
    for number in range(400):
        sip.request(crowd.members[number % len(MANY_V6)], "OPTIONS", f"sip:{DOMAIN}",
                    "sip:flood@anywhere.example")
    case.eventually(lambda: edge.counter("dropped_flood") > 100, "the flood is dropped")
    expect(edge.remembered("banned") == 1, "one source is banned")
    for address, wanted in ((MANY_V6[0], 0), (NEXT_V6, 101)):
        status = crowd.websocket(address)
        expect(status == wanted, f"{address}: {status}")
    sip.request(crowd.members[len(MANY_V6)], "OPTIONS", f"sip:{DOMAIN}",
                "sip:probe@anywhere.example")
    expect(crowd.members[len(MANY_V6)].final().status == 200, "the next /64 is served")


if __name__ == "__main__":
    case.run()
