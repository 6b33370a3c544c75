"""What becomes of calls across a traversal pair when one node is out of the other's reach."""

# time limit: 120 s

import os
import re
import signal
import time

import edge as edges
import sip
from edge import case
from lib.case import eventually, expect
from sip_pair import BROWSERS, Pair, established, hang_up, hold, uri
from traversal import DOMAIN, NUMBER


@case.case
def a_call_outlives_restarts_of_the_cores_sip_server(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    caller, called = established(pair, alice, desk)
    pair.core.kill_kamailio()
    pair.core.start_kamailio()
    eventually(lambda: "dmz/core-1 is back" in pair.edge.log("kamailio"), "the core is back")
    hold(caller, desk)
    hang_up(called, alice)
    for role in ("edge", "core"):
        eventually(lambda: not pair.offers(role), f"the {role} gives its ports back")


@case.case
def a_call_outlives_restarts_of_the_edges_sip_server(scratch):
    """Nobody knows then where the client is: a lie that it is gone for good would end the call."""
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    calls = [established(pair, alice, desk) for _ in range(2)]
    pair.edge.kill_kamailio()
    pair.core.kill_kamailio()
    pair.edge.start_kamailio()
    alice, caller = pair.connect(), calls[0][0]
    caller.agent = alice
    again = caller.request("INVITE", edges.outside_sdp(direction="sendonly"))
    answer = alice.final(timeout=5, method="INVITE")
    expect(answer.status == 503 and answer.first("retry-after"), f"no core yet: {answer.headers}")
    sip.acknowledge(alice, again, answer)
    pair.core.start_kamailio()
    eventually(pair.edge_sees_core, "the core is back", 20)
    offers = len(pair.of("edge", "offer"))
    for _, unknown in calls:
        again = unknown.request("INVITE", edges.inside_sdp())
        answer = desk.final(method="INVITE")
        expect(answer.status == 480 and answer.first("retry-after"), answer.start)
        sip.acknowledge(desk, again, answer)
    expect(pair.edge.refusals("refused_offline") == 2 and len(pair.of("edge", "offer")) == offers,
           "it is counted and nothing is asked of the relay")
    hold(caller, desk)
    hang_up(caller, desk)
    calls[1][1].request("BYE")
    expect(desk.final(method="BYE").status == 480, "hung up")
    for role in ("edge", "core"):
        eventually(lambda: not pair.offers(role), f"the {role} gives its ports back")


@case.case
def who_hangs_up_without_a_core_waits_for_nobody(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    first, second = (established(pair, alice, desk) for _ in range(2))
    pair.core.kill_daemon()
    _core_is_lost(pair)
    for side, role, body in ((first[0], "edge", edges.outside_sdp()),
                             (second[1], "core", edges.inside_sdp())):
        again = side.request("INVITE", body)
        answer = side.agent.final(timeout=2, method="INVITE")
        expect(answer.status == 503 and len(pair.offers(role)) == 2,
               f"the call goes on: {answer.start}")
        sip.acknowledge(side.agent, again, answer)
        side.request("BYE")
        expect(side.agent.final(timeout=2, method="BYE").status == 480, "hung up")
        eventually(lambda: len(pair.offers(role)) == 1, f"the {role} gives its ports back", 1)
    pair.core.start_daemon()
    for called, call in ((desk, first[1]), (alice, second[0])):
        asked = called.expect("BYE")
        expect(asked.first("call-id") == call.call_id and asked.tag("to") in call.from_header
               and asked.tag("from") in call.to_header, f"the other end is told: {asked.headers}")
        sip.reply(called, asked, 200, "OK")
    for role in ("edge", "core"):
        eventually(lambda: not pair.offers(role), f"the {role} gives its ports back")


@case.case
def a_call_that_rings_ends_with_the_zone(scratch):
    pair = Pair(scratch, edge=BROWSERS)
    alice, desk = pair.client("alice"), pair.desk()
    bob, browser = pair.client("bob", place="nat"), pair.browser("bob")
    sent = {}
    sent[alice] = pair.invite(alice, "alice", uri(NUMBER), edges.outside_sdp())
    asked = [(desk, desk.expect("INVITE"))]
    sent[desk] = sip.request(desk, "INVITE", uri("bob"), uri(NUMBER), user=NUMBER,
                             body=edges.inside_sdp())
    asked += [(agent, agent.expect("INVITE")) for agent in (bob, browser)]
    for agent, invite in asked:
        sip.reply(agent, invite, 180, "Ringing", to_tag="r")
    for caller in (alice, desk):
        caller.expect(180)
    pair.core.kill_daemon()
    began = time.monotonic()
    for agent, invite in asked:
        sip.reply(agent, agent.expect("CANCEL", timeout=5), 200, "OK")
        sip.reply(agent, invite, 487, "Request Terminated", to_tag="r")
    for caller, status in ((alice, 503), (desk, 480)):
        answer = caller.final(timeout=5, method="INVITE")
        expect(answer.status == status and answer.first("retry-after"), f"{answer.headers}")
        sip.acknowledge(caller, sent[caller], answer)
    expect(time.monotonic() - began < 5, "within seconds")
    for role in ("edge", "core"):
        eventually(lambda: not pair.offers(role), f"the {role} gives all ports back")


def _core_is_lost(pair):
    eventually(lambda: "dmz/core-1 is out of reach" in pair.edge.log("kamailio"), "it is noticed")


@case.case
def a_hangup_into_silence_is_told_later(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    caller, called = established(pair, alice, desk)
    # The zone is up, so nothing is said of the outage.
    for pid in pair.processes_of(pair.core):
        os.kill(pid, signal.SIGSTOP)
    caller.request("BYE")
    expect(alice.final(timeout=8, method="BYE").status in (408, 480), "not before that")
    eventually(lambda: not pair.offers("edge"), "the edge gives its ports back")
    # It waits for a sign of life: every second there is a chance to send it into the silence.
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        kept = re.search(r"name: hangups\s.*?all: (\d+)", pair.edge.sip("htable.stats"), re.S)
        expect(kept and kept.group(1) == "1", "sent where nobody hears it")
    pair.core.kill_kamailio()
    _core_is_lost(pair)
    pair.core.start_kamailio()
    asked = desk.expect("BYE")
    expect(asked.first("call-id") == called.call_id, asked.start)
    sip.reply(desk, asked, 200, "OK")
    eventually(lambda: not pair.offers("core"), "the core gives its ports back")


@case.case
def users_are_spread_over_cores_that_keep_no_registrations(scratch):
    pair = Pair(scratch, core={"sip": {"upstream": "sip:10.30.0.10:5080"}}, cores=2)
    registrar = sip.Agent(pair.place("inside"), 5080, "udp")
    scratch.on_exit(registrar.close)
    registrar.answers_options = True
    def call(agent, user):
        sent = sip.request(agent, "INVITE", uri("6001"), uri(user), user=user,
                           body=edges.outside_sdp())
        asked = registrar.expect("INVITE", timeout=2)
        sip.reply(registrar, asked, 404, "Not Found")
        sip.acknowledge(agent, sent, agent.final(method="INVITE"))
        return asked.source[0]
    def register(agent, user):
        sip.request(agent, "REGISTER", f"sip:{DOMAIN}", uri(user), uri(user), user=user,
                    extra=[("Expires", "600")])
        asked = registrar.expect("REGISTER", timeout=2)
        sip.reply(registrar, asked, 200, "OK", user)
        expect(agent.final().status == 200, user)
        return asked.source[0]
    clients = {f"user{number}": pair.connect() for number in range(8)}
    core_of = {user: register(agent, user) for user, agent in clients.items()}
    expect(set(core_of.values()) == {"10.30.0.1", "10.30.0.2"}, f"both have some: {core_of}")
    for user, agent in clients.items():
        expect(call(agent, user) == core_of[user], "calls go where the user has registered")
    pair.pair.cores[1].kill_kamailio()
    began = time.monotonic()
    eventually(lambda: "dmz/core-2 is out of reach" in pair.edge.log("kamailio"), "it is noticed")
    for user, agent in clients.items():
        expect(register(agent, user) == "10.30.0.1" and call(agent, user) == "10.30.0.1",
               "registrations and calls go elsewhere")
    expect(time.monotonic() - began < 2, "within 2 s")
    pair.pair.cores[1].start_kamailio()
    eventually(lambda: "dmz/core-2 is back" in pair.edge.log("kamailio"), "it is back")
    for again in (False, True):
        for user, agent in clients.items():
            place = register(agent, user) if again else "10.30.0.1"
            expect(call(agent, user) == place and (not again or place == core_of[user]),
                   "calls go where the user has registered last")


@case.case
def a_lost_edge_is_followed_by_the_other(scratch):
    pair = Pair(scratch, edges=2)
    alice, bob, desk = pair.client("alice"), pair.client("bob", "nat", edge=2), pair.desk()

    def ring(agent, user):
        """A call of the desk that is declined."""
        sent = sip.request(desk, "INVITE", uri(user), uri(NUMBER), user=NUMBER,
                           body=edges.inside_sdp())
        if agent:
            sip.reply(agent, agent.expect("INVITE", timeout=2), 486, "Busy Here")
        answer = desk.final(timeout=2, method="INVITE")
        sip.acknowledge(desk, sent, answer)
        return answer.status

    expect((ring(alice, "alice"), ring(bob, "bob")) == (486, 486), "each by its own edge")
    directions = [offer["direction"][1] for offer in pair.of("core", "offer")]
    expect(directions == ["dmz/edge-1", "dmz/edge-2"], directions)
    pair.edge.kill_kamailio()
    pair.edge.kill_daemon()
    began = time.monotonic()
    expect(ring(bob, "bob") == 486, "who is behind the other edge notices nothing")
    expect(ring(None, "alice") == 480, "nobody waits for a client that is gone")
    alice = pair.client("alice", edge=2)
    expect(ring(alice, "alice") == 486, "she is called by the other edge")
    pair.invite(alice, "alice", uri(NUMBER), edges.outside_sdp())
    sip.reply(desk, desk.expect("INVITE", timeout=2), 486, "Busy Here")
    expect(alice.final(timeout=2, method="INVITE").status == 486, "and calls by it")
    took = time.monotonic() - began
    expect(took < 2, f"new calls go elsewhere within 2 s, not {took:.1f}")
    expect(pair.net.firewall_counters()["from_edge_new"] == 0, "an edge began something")


if __name__ == "__main__":
    case.run()
