"""What is bounded by number, and for how long it counts."""

import re
import time

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


def guess(agent, user, from_user, password):
    """An answer for `user` to the challenge of a REGISTER of `from_user`: the last answer."""
    uri = f"sip:{DOMAIN}"
    sent = sip.request(agent, "REGISTER", uri, f"sip:{from_user}@{DOMAIN}",
                       f"sip:{from_user}@{DOMAIN}", user=from_user)
    challenge = agent.final()
    if challenge.status != 401:
        return challenge
    # Of another realm, and first: not what is judged.
    decoy = ("Authorization", f'Digest username="{from_user}", realm="pbx", nonce="n", '
                              f'uri="{uri}", response="{"0" * 32}"')
    sip.again(agent, sent, [decoy, sip.digest(challenge, "REGISTER", uri, user, password)])
    return agent.final()


@case.case
def a_password_is_guessed_for_its_user_whatever_from_says(scratch):
    edge = Edge(scratch)
    with edge.connect() as agent:
        answers = [guess(agent, "bob", f"r{number}",
                         edges.PASSWORDS["bob"] if number == 5 else f"guess {number}")
                   for number in range(13)]
        statuses = [answer.status for answer in answers]
        expect(statuses[:11] == [401] * 11 and statuses[11:] == [403] * 2, statuses)
        # Nothing tells the right one.
        told = [(answer.start, sorted(name for name, _ in answer.headers),
                 "stale" in answer.first("www-authenticate")) for answer in answers[4:7]]
        expect(told[0] == told[1] == told[2] and not told[1][2], told)
        expect(edge.counter("refused_digest") >= 11, "counted")
        expect(guess(agent, "bob", "bob", edges.PASSWORDS["bob"]).status == 403, "bob waits")
        expect(edges.register(agent, "alice", edges.PASSWORDS["alice"]).status == 200,
               "others at the same address are not locked out")


@case.case
def who_has_waited_is_counted_anew(scratch):
    """Also while the module has not looked yet whose time is over."""
    edge = Edge(scratch)
    table = 'modparam("htable", "htable", "failures=>size=14;autoexpire='
    edge.restart((f"{table}300", f'modparam("htable", "timer_interval", 600)\n{table}4'))
    with edge.connect() as agent:
        for turn in ("at first", "after the wait"):
            statuses = [edges.register(agent, "alice", f"guess {number}").status
                        for number in range(12)]
            expect(statuses == [401] * 11 + [403], f"{turn}: {statuses}")
            if turn == "at first":
                time.sleep(6)


def flood(agent, number):
    """A refused request, each of them with a reason of its own for the log."""
    sip.request(agent, "SUBSCRIBE", f"sip:{DOMAIN}", f"sip:{number}@{DOMAIN}")
    expect(agent.final(method="SUBSCRIBE").status == 405, "refused")


@case.case
def the_log_says_that_lines_are_missing(scratch):
    edge = Edge(scratch)
    table = 'modparam("htable", "htable", "lines=>size=4;autoexpire='
    edge.restart(("LINES_MAX 1000", "LINES_MAX 1"),
                 (f"{table}60", f'modparam("htable", "timer_interval", 1)\n{table}3'))
    with edge.connect() as agent:
        for domain in (DOMAIN, "elsewhere.example"):
            edges.register(agent, "alice", "guessed", domain=domain)
        flood(agent, 1)
        flood(agent, 2)  # a reason that counts once
    case.eventually(lambda: "3 more requests of side o were refused and not logged" in edge.log(),
                    lambda: f"it tells how many: {edge.log()[-900:]}", 15)
    expect("wrong user or password from" in edge.log(), "the first line is there")
    expect("Not A Domain" not in edge.log() and "405" not in edge.log(), "more than one line")
    expect("1 refusals of side o are logged within a minute: no others" in edge.log(),
           "it tells too late")


@case.case
def the_log_says_so_during_a_flood_too(scratch):
    """Who goes on over the end of the minute, while the module has not looked yet."""
    edge = Edge(scratch)
    tables = [f'modparam("htable", "htable", "{name}=>size={size};autoexpire='
              for name, size in (("lines", 4), ("refusals", 12))]
    edge.restart(("LINES_MAX 1000", "LINES_MAX 1"),
                 (f"{tables[0]}60", f'modparam("htable", "timer_interval", 600)\n{tables[0]}3'),
                 (f"{tables[1]}60", f"{tables[1]}1"))
    sent = 0
    end = time.monotonic() + 11
    with edge.connect() as agent:
        while time.monotonic() < end:
            flood(agent, sent)
            sent += 1
            time.sleep(0.1)
    left_out = [int(number) for number in re.findall(r"(\d+) more requests of side o", edge.log())]
    lines = edge.log().count("405 Method Not Allowed")
    expect(2 <= len(left_out) <= 3, f"told at each end: {left_out}")
    expect(lines <= 4, f"{lines} lines of {sent}: more than one in each window")
    expect(sent / 5 < sum(left_out) < sent, f"{left_out} of {sent}")


if __name__ == "__main__":
    case.run()
