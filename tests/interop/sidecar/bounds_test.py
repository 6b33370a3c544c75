"""What is bounded by number, and for how long it counts."""

import edge as edges
import sip
from edge import DOMAIN, Edge, case, inside_sdp, outside_sdp
from lib.case import expect


def established(alice, pbx):
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    sip.reply(pbx, pbx.expect("INVITE"), 200, "OK", "6001", inside_sdp(), to_tag="pbx")
    caller = edges.caller_side(alice, "alice", sent, alice.final(method="INVITE"))
    caller.request("ACK", cseq=caller.cseq)
    pbx.expect("ACK")
    return caller


def expect_too_many(edge, alice):
    offers = len(edge.ng.of("offer"))
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    answer = alice.final(method="INVITE")
    expect(answer.status == 503 and "At A Time" in answer.start, answer.start)
    sip.acknowledge(alice, sent, answer)
    expect(len(edge.ng.of("offer")) == offers, "no ports")


@case.case
def a_caller_has_so_many_calls_that_are_up(scratch):
    """Two who never hang up would fill the memory."""
    edge = Edge(scratch)
    edge.restart(("CALLS_UP_MAX 300", "CALLS_UP_MAX 2"))
    pbx, alice = edge.inside_server(), edge.client("alice")
    first, _ = established(alice, pbx), established(alice, pbx)
    expect_too_many(edge, alice)
    first.request("BYE")
    sip.reply(pbx, pbx.expect("BYE"), 200, "OK")
    expect(alice.final(method="BYE").status == 200, "hung up")
    established(alice, pbx)
    expect(edge.remembered("up") == 2, "those that are up")


@case.case
def a_call_whose_end_nobody_told_keeps_its_caller_out_for_so_long(scratch):
    edge = Edge(scratch)
    table = 'modparam("htable", "htable", "up=>size=14;autoexpire='
    edge.restart(("CALLS_UP_MAX 300", "CALLS_UP_MAX 1"),
                 (f"{table}7200", f'modparam("htable", "timer_interval", 1)\n{table}6'))
    pbx, alice = edge.inside_server(), edge.client("alice")
    established(alice, pbx)
    expect_too_many(edge, alice)
    case.eventually(lambda: edge.remembered("up") == 0, "it counts no longer", 15)
    established(alice, pbx)
    expect_too_many(edge, alice)


@case.case
def the_log_says_that_lines_are_missing(scratch):
    edge = Edge(scratch)
    table = 'modparam("htable", "htable", "lines=>size=4;autoexpire='
    edge.restart(("LINES_MAX 1000", "LINES_MAX 1"),
                 (f"{table}60", f'modparam("htable", "timer_interval", 1)\n{table}3'))
    with edge.connect() as agent:
        for domain in (DOMAIN, "elsewhere.example"):
            edges.register(agent, "alice", "guessed", domain=domain)
        for method in ("SUBSCRIBE", "PUBLISH"):  # a reason that counts once
            sip.request(agent, method, f"sip:{DOMAIN}", f"sip:alice@{DOMAIN}")
            expect(agent.final(method=method).status == 405, method)
    case.eventually(lambda: "more refusals of side o were not logged" in edge.log(),
                    lambda: f"it tells how many: {edge.log()[-900:]}", 15)
    expect("wrong user or password from" in edge.log(), "the first line is there")
    expect("Not A Domain" not in edge.log() and "405" not in edge.log(), "more than one line")
    expect("1 refusals of side o within a minute: no more" in edge.log(), "it tells too late")


if __name__ == "__main__":
    case.run()
