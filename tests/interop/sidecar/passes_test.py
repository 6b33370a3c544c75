"""Calls that pass the edge more than once, with the real relay and a registrar of the inside that
forks: every stream is heard, and what ends takes nothing of another pass with it."""

# time limit: 240 s

import dataclasses

import edge as edges
import sip
import upstream as upstreams
from edge import DOMAIN, Edge, case, network
from lib import peer
from lib.call import Crypto, Side
from lib.case import eventually, expect, note

SUITE = "AES_CM_128_HMAC_SHA1_80"
PHONE = "6001"


@dataclasses.dataclass
class Pair:
    """Two ends that ought to hear each other."""

    a: Side
    b: Side


class Site:
    """Edge, relay, upstream; who is outside has registered through the edge."""

    def __init__(self, scratch, record_routes=True):
        self.scratch = scratch
        self.edge = Edge(scratch, {
            "sip": {"upstream": upstreams.URI, "emergency_numbers": []},
            "sip.servers.pbx": None, "sip.route.internal": None}, real_relay=True)
        self.upstream = upstreams.Upstream(scratch, DOMAIN, record_routes)
        self._port = 40000

    def device(self, user):
        agent = self.edge.connect()
        uri = f"sip:{user}@{DOMAIN}"
        sip.request(agent, "REGISTER", f"sip:{DOMAIN}", uri, uri, user=user,
                    extra=[("Expires", "600")])
        answer = agent.final()
        expect(answer.status == 200, answer.start)
        return agent

    def phone(self):
        """Of the inside; the upstream calls it by number."""
        agent = sip.Agent(network.INSIDE, upstreams.PHONE_PORT, "udp")
        self.scratch.on_exit(agent.close)
        return agent.connect((network.INSIDE.v4, upstreams.PORT))

    def outside(self):
        return self._side(network.OUTSIDE, (SUITE,))

    def inside(self):
        return self._side(network.INSIDE, ())

    def _side(self, place, suites):
        self._port += 10
        return Side(place, self._port, suites)

    def sessions(self, wanted):
        eventually(lambda: self.edge.daemon.sessions() == wanted,
                   lambda: f"{wanted} sessions, there are {self.edge.daemon.sessions()}")

    def hear(self, *pairs, packets=50):
        """Each end of each pair receives that many good packets of the other."""
        peers = {place.name: peer.Peer(self.scratch, place)
                 for place in {side.place for pair in pairs for side in (pair.a, pair.b)}}
        legs = []
        for pair in pairs:
            a, b = peers[pair.a.place.name], peers[pair.b.place.name]
            legs += zip((a, b), peer.connect(pair, a, b))
        for one in peers.values():
            one.start()
        for one, leg in legs:
            eventually(lambda one=one, leg=leg: one.report()[leg]["received"] >= packets,
                       lambda one=one, leg=leg: f"{leg} hears: {one.report()[leg]}")
            counts = one.report()[leg]
            note(f"{leg} received {counts['received']} packets, damaged {counts['damaged']}")
        peer.expect_clean(*peers.values())
        return peers


def invite(agent, user, number, side):
    return sip.request(agent, "INVITE", f"sip:{number}@{DOMAIN}", f"sip:{user}@{DOMAIN}",
                       user=user, body=side.sdp())


def take(agent, asked, user, side, tag):
    """The called side answers 200 with its SDP."""
    side.hears(asked.body)
    crypto = [Crypto(line.tag, line.suite, side.keys[line.suite])
              for line in side.given.crypto if line.suite in side.keys][:1]
    sip.reply(agent, asked, 200, "OK", user, side.sdp(crypto), to_tag=tag)


def confirmed(agent, user, sent, side):
    """The caller takes the 200 and says ACK; its side of the dialog."""
    answer = agent.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    side.hears(answer.body)
    call = edges.caller_side(agent, user, sent, answer)
    call.request("ACK", cseq=call.cseq)
    return call


def ring(agent, tag):
    """An INVITE comes and is said to ring; before that there is nothing that could be cancelled."""
    asked = agent.expect("INVITE")
    sip.reply(agent, asked, 180, "Ringing", "bob", to_tag=tag)
    return asked


def decline_cancelled(agent, asked, tag):
    sip.reply(agent, agent.expect("CANCEL"), 200, "OK")
    sip.reply(agent, asked, 487, "Request Terminated", to_tag=tag)
    agent.expect("ACK")


def hang_up(by, agent):
    by.request("BYE")
    sip.reply(agent, agent.expect("BYE"), 200, "OK")
    expect(by.agent.final(method="BYE").status == 200, "BYE is answered")


def client_calls_client(site, alice, bob):
    a, b = site.outside(), site.outside()
    sent = invite(alice, "alice", "bob", a)
    asked = bob.expect("INVITE")
    take(bob, asked, "bob", b, "bob")
    caller = confirmed(alice, "alice", sent, a)
    bob.expect("ACK")
    return caller, edges.called_side(bob, "bob", asked, "bob"), Pair(a, b)


@case.case
def a_client_calls_a_client_by_way_of_the_upstream(scratch):
    site = Site(scratch)
    caller, called, pair = client_calls_client(site, site.device("alice"), site.device("bob"))
    site.sessions(2)
    site.hear(pair)
    hang_up(caller, called.agent)
    site.sessions(0)


@case.case
def the_called_client_changes_the_call_and_ends_it(scratch):
    site = Site(scratch)
    caller, called, pair = client_calls_client(site, site.device("alice"), site.device("bob"))
    for by, other, mine, theirs in ((called, caller, pair.b, pair.a),
                                    (caller, called, pair.a, pair.b)):
        by.request("INVITE", mine.sdp())
        asked = other.agent.expect("INVITE")
        take(other.agent, asked, other.user, theirs, "unused")
        answer = by.agent.final(method="INVITE")
        expect(answer.status == 200, answer.start)
        mine.hears(answer.body)
        by.request("ACK", cseq=by.cseq)
        other.agent.expect("ACK")
    site.sessions(2)
    site.hear(pair)
    hang_up(called, caller.agent)
    site.sessions(0)


@case.case
def an_upstream_may_stay_out_of_the_dialog(scratch):
    site = Site(scratch, record_routes=False)
    alice, bob = site.device("alice"), site.device("bob")
    for first in (True, False):
        caller, called, pair = client_calls_client(site, alice, bob)
        site.sessions(2)
        site.hear(pair)
        by, other = (caller, called) if first else (called, caller)
        by.request("INVITE", (pair.a if first else pair.b).sdp())
        asked = other.agent.expect("INVITE")
        take(other.agent, asked, other.user, pair.b if first else pair.a, "unused")
        expect(by.agent.final(method="INVITE").status == 200, "the call is changed")
        by.request("ACK", cseq=by.cseq)
        other.agent.expect("ACK")
        hang_up(by, other.agent)
        site.sessions(0)


@case.case
def a_device_that_loses_takes_no_media_with_it(scratch):
    site = Site(scratch)
    phone, one, two = site.phone(), site.device("bob"), site.device("bob")
    a, b = site.inside(), site.outside()
    sent = invite(phone, PHONE, "bob", a)
    lost, won = ring(one, "one"), ring(two, "two")
    site.sessions(2)
    take(two, won, "bob", b, "two")
    caller = confirmed(phone, PHONE, sent, a)
    two.expect("ACK")
    decline_cancelled(one, lost, "one")
    site.sessions(1)
    site.hear(Pair(a, b))
    hang_up(edges.called_side(two, "bob", won, "two"), phone)
    site.sessions(0)
    del caller


@case.case
def a_client_rings_two_devices_of_another(scratch):
    site = Site(scratch)
    alice, one, two = site.device("alice"), site.device("bob"), site.device("bob")
    a, b = site.outside(), site.outside()
    sent = invite(alice, "alice", "bob", a)
    won, lost = ring(one, "one"), ring(two, "two")
    site.sessions(3)
    take(one, won, "bob", b, "one")
    caller = confirmed(alice, "alice", sent, a)
    one.expect("ACK")
    decline_cancelled(two, lost, "two")
    site.sessions(2)
    site.hear(Pair(a, b))
    hang_up(caller, one)
    site.sessions(0)


@case.case
def a_refused_device_ends_nothing_and_the_other_takes_the_call(scratch):
    site = Site(scratch)
    phone, one, two = site.phone(), site.device("bob"), site.device("bob")
    a, b = site.inside(), site.outside()
    sent = invite(phone, PHONE, "bob", a)
    first, second = ring(one, "one"), ring(two, "two")
    sip.reply(one, first, 486, "Busy Here", to_tag="one")
    one.expect("ACK")
    site.sessions(1)
    take(two, second, "bob", b, "two")
    caller = confirmed(phone, PHONE, sent, a)
    two.expect("ACK")
    site.hear(Pair(a, b))
    hang_up(caller, two)
    site.sessions(0)


@case.case
def a_device_that_answers_too_late_ends_nothing(scratch):
    """It says nothing until the edge has given it up; then it answers after all."""
    site = Site(scratch)
    phone, one, two = site.phone(), site.device("bob"), site.device("bob")
    a, b = site.inside(), site.outside()
    sent = invite(phone, PHONE, "bob", a)
    late, won = one.expect("INVITE"), ring(two, "two")
    take(two, won, "bob", b, "two")
    caller = confirmed(phone, PHONE, sent, a)
    two.expect("ACK")
    site.sessions(1)
    take(one, late, "bob", site.outside(), "one")
    eventually(lambda: site.edge.counter("refused_media") == 1, "it is read")
    site.hear(Pair(a, b))
    site.sessions(1)
    hang_up(caller, two)
    site.sessions(0)


@case.case
def a_caller_who_gives_up_frees_every_pass(scratch):
    site = Site(scratch)
    alice, one, two = site.device("alice"), site.device("bob"), site.device("bob")
    sent = invite(alice, "alice", "bob", site.outside())
    asked = {one: ring(one, "lost"), two: ring(two, "lost")}
    site.sessions(3)
    alice.send(sip.build(f"CANCEL {sent.uri} SIP/2.0", [
        ("Via", sent.first("via")), ("Max-Forwards", "70"), ("From", sent.first("from")),
        ("To", sent.first("to")), ("Call-ID", sent.first("call-id")), ("CSeq", "1 CANCEL")]))
    for agent, message in asked.items():
        decline_cancelled(agent, message, "lost")
    expect(alice.final(method="INVITE").status == 487, "the call ends")
    site.sessions(0)


@case.case
def a_phone_inside_is_called_in_one_pass(scratch):
    site = Site(scratch)
    alice, phone = site.device("alice"), site.phone()
    a, b = site.outside(), site.inside()
    sent = invite(alice, "alice", PHONE, a)
    asked = phone.expect("INVITE")
    take(phone, asked, PHONE, b, "phone")
    caller = confirmed(alice, "alice", sent, a)
    phone.expect("ACK")
    site.sessions(1)
    site.hear(Pair(a, b))
    listed = site.edge.daemon.api("/v1/sessions")
    expect(f'"{caller.call_id},' in listed, f"the Call-ID is found: {listed}")
    hang_up(caller, phone)
    site.sessions(0)


if __name__ == "__main__":
    case.run()
