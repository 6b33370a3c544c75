"""Calls through the generated sidecar, message by message, with a relay that only counts."""

# time limit: 400 s

import time

import edge as edges
import sip
from edge import (CLEAR, DOMAIN, Edge, case, established_to_inside, hang_up, inside_sdp, network,
                  outside_sdp)
from lib.case import expect


@case.case
def outside_calls_inside_and_hangs_up(scratch):
    edge = Edge(scratch)
    caller, called, asked, answer = established_to_inside(edge)
    offers = edge.ng.of("offer")
    expect(len(offers) == 1 and len(edge.ng.of("answer")) == 1, "one offer, one answer")
    offer = offers[0]
    expect(offer["direction"] == ["outside", "inside"], offer["direction"])
    expect(offer["transport-protocol"] == "RTP/AVP", offer)
    expect(set(offer["replace"]) == {"origin", "session-connection"}, offer)
    expect(offer["received-from"] == ["IP4", network.OUTSIDE.v4], offer)
    expect("SIP-source-address" not in offer.get("flags", []), "a public address is believed")
    expect("RTP/AVP" in asked.body and "a=crypto" not in asked.body, asked.body)
    expect(edges.INSIDE in asked.body and network.OUTSIDE.v4 not in asked.body, asked.body)
    expect("RTP/SAVP" in answer.body and edges.OUTSIDE in answer.body, answer.body)
    expect(asked.all("p-asserted-identity") == [f"<sip:alice@{DOMAIN}>"], asked.headers)
    expect(not asked.first("proxy-authorization"), "credentials stay here")
    hang_up(caller, called, edge)


@case.case
def outside_calls_inside_and_inside_hangs_up(scratch):
    edge = Edge(scratch)
    caller, called, _, _ = established_to_inside(edge)
    hang_up(called, caller, edge, to=CLEAR)


@case.case
def a_call_that_is_over_is_not_remembered_for_long(scratch):
    edge = Edge(scratch)
    edge.restart(("over=>size=12;autoexpire=64", "over=>size=12;autoexpire=1"),
                 ("UNANSWERED_SECONDS 1800", "UNANSWERED_SECONDS 2"))
    caller, called, _, _ = established_to_inside(edge)
    hang_up(caller, called, edge)
    time.sleep(2)
    caller.request("UPDATE", outside_sdp())
    sip.reply(called.agent, called.agent.expect("UPDATE"), 481, "Call Does Not Exist")
    expect(caller.agent.final(method="UPDATE").status == 481, "its route set is good")
    def of_call():
        # Of the connection it is known what media it does.
        return [edge.remembered("hops"), edge.remembered("media") - 1, edge.remembered("parties")]
    expect(of_call() == [1, 1, 1], f"{of_call()}")
    # Kamailio looks every twenty seconds.
    case.eventually(lambda: of_call() == [0, 0, 0], "nothing is remembered of it", 30)


@case.case
def hold_and_resume_from_both_sides(scratch):
    edge = Edge(scratch)
    caller, called, _, _ = established_to_inside(edge)
    claims = [(name, f"<sip:boss@{DOMAIN}>") for name in
              ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID")]
    for by, other, mine, theirs in ((caller, called, outside_sdp, inside_sdp),
                                    (called, caller, inside_sdp, outside_sdp)):
        for direction, mirrored in (("sendonly", "recvonly"), ("sendrecv", "sendrecv")):
            to = CLEAR if by is called else None
            by.request("INVITE", mine(direction=direction), to=to, extra=claims)
            asked = other.agent.expect("INVITE")
            expect(f"a={direction}" in asked.body, asked.body)
            expect(("boss" in str(asked.headers)) == (by is called), "who is outside asserts it")
            sip.reply(other.agent, asked, 200, "OK", other.user, theirs(direction=mirrored))
            answer = by.agent.final(method="INVITE")
            expect(answer.status == 200 and f"a={mirrored}" in answer.body, answer.start)
            by.request("ACK", cseq=by.cseq, to=to)
            other.agent.expect("ACK")
    offers = edge.ng.of("offer")
    expect([o["direction"] for o in offers] ==
           [["outside", "inside"]] * 3 + [["inside", "outside"]] * 2, offers)
    expect(offers[4]["transport-protocol"] == "RTP/SAVP", offers[4])
    hang_up(caller, called, edge)


@case.case
def a_failed_reinvite_ends_no_call(scratch):
    edge = Edge(scratch)
    caller, called, _, _ = established_to_inside(edge)
    clear = sip.sdp(network.OUTSIDE.v4, 40000, "RTP/AVP")
    caller.request("INVITE", clear)
    expect(caller.agent.final(method="INVITE").status == 488, "no clear stream in a call either")
    edge.ng.refusal = {"result": "error", "error-reason": "Ran out of ports"}
    caller.request("INVITE", outside_sdp())
    expect(caller.agent.final(method="INVITE").status == 488, "the relay refuses")
    expect(not edge.ng.of("delete"), "the call stays")
    edge.ng.refusal = None
    # A next hop that is gone: the relay has taken the offer, then sending fails.
    caller.agent.close()
    case.eventually(lambda: network.OUTSIDE.v4 not in edge.connections(), "the connection is gone")
    called.request("INVITE", inside_sdp(), to=CLEAR)
    answer = called.agent.final(method="INVITE")
    expect(answer.status in (477, 480, 500), answer.start)
    expect(len(edge.ng.of("offer")) == 3 and not edge.ng.of("delete"), edge.ng.commands)


@case.case
def another_call_with_the_same_call_id_cuts_nothing(scratch):
    edge = Edge(scratch)
    alice, bob, pbx = edge.client("alice"), edge.client("bob"), edge.inside_server()
    sent = edges.invite(alice, "alice", f"sip:bob@{DOMAIN}", outside_sdp())
    asked = bob.expect("INVITE")
    sip.reply(bob, asked, 200, "OK", "bob", outside_sdp(), to_tag="bob")
    caller = edges.caller_side(alice, "alice", sent, alice.final(method="INVITE"))
    caller.request("ACK", cseq=caller.cseq)
    bob.expect("ACK")

    sent = edges.invite(bob, "bob", f"sip:6001@{DOMAIN}", outside_sdp(), call_id=caller.call_id)
    asked = pbx.expect("INVITE")
    sip.reply(pbx, asked, 200, "OK", "6001", inside_sdp(), to_tag="pbx")
    other = edges.caller_side(bob, "bob", sent, bob.final(method="INVITE"))
    other.request("ACK", cseq=other.cseq)
    pbx.expect("ACK")
    other.request("BYE")
    sip.reply(pbx, pbx.expect("BYE"), 200, "OK")
    expect(bob.final(method="BYE").status == 200, "the other call ends")

    caller.request("INVITE", outside_sdp())
    sip.reply(bob, bob.expect("INVITE"), 200, "OK", "bob", outside_sdp())
    expect(alice.final(method="INVITE").status == 200, "the first call goes on")


def inside_calls_alice(scratch, from_uri):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    uri = f"sip:alice@{DOMAIN}"
    sent = sip.request(pbx, "INVITE", uri, from_uri, user="6001", body=inside_sdp())
    asked = alice.expect("INVITE")
    offer = edge.ng.of("offer")[0]
    expect(offer["direction"] == ["inside", "outside"], offer)
    expect(offer["transport-protocol"] == "RTP/SAVP", offer)
    expect("a=crypto" in asked.body, asked.body)
    sip.reply(alice, asked, 200, "OK", "alice", outside_sdp(), to_tag="alice")
    answer = pbx.final(method="INVITE")
    expect(answer.status == 200 and "RTP/AVP" in answer.body, answer.body)
    caller = edges.caller_side(pbx, "6001", sent, answer)
    caller.request("ACK", cseq=caller.cseq, to=CLEAR)
    alice.expect("ACK")
    called = edges.called_side(alice, "alice", asked, "alice")
    hang_up(called, caller, edge)


@case.case
def inside_calls_a_registered_client_over_its_connection(scratch):
    inside_calls_alice(scratch, f"sip:6001@{DOMAIN}")


@case.case
def who_calls_by_number_can_be_hung_up_on(scratch):
    inside_calls_alice(scratch, "tel:+493012345678")


@case.case
def a_phone_may_name_the_edge_as_its_outbound_proxy(scratch):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    sip.request(pbx, "INVITE", f"sip:alice@{DOMAIN}", f"sip:6001@{DOMAIN}", user="6001",
                body=inside_sdp(), extra=[("Route", f"<sip:{edges.INSIDE};lr>")])
    asked = alice.expect("INVITE")
    expect(not asked.all("route"), asked.headers)
    sip.reply(alice, asked, 486, "Busy Here")
    expect(pbx.final(method="INVITE").status == 486, "busy")
    edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp(), extra=[
        ("Route", f"<sip:{edges.OUTSIDE}:5061;transport=tls;lr>"),
        ("Route", f"<sip:{network.INSIDE.v4}:6379;lr>")])
    asked = pbx.expect("INVITE")
    expect(not asked.all("route"), "no further hop of the client's choice")


@case.case
def a_phone_may_ask_what_a_client_can_do(scratch):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    sip.request(pbx, "OPTIONS", f"sip:alice@{DOMAIN}", f"sip:6001@{DOMAIN}", user="6001")
    sip.reply(alice, alice.expect("OPTIONS"), 200, "OK", "alice")
    expect(pbx.final(method="OPTIONS").status == 200, "the answer comes back")


@case.case
def a_client_calls_another_client(scratch):
    edge = Edge(scratch)
    alice, bob = edge.client("alice"), edge.client("bob")
    sent = edges.invite(alice, "alice", f"sip:bob@{DOMAIN}", outside_sdp())
    asked = bob.expect("INVITE")
    expect(edge.ng.of("offer")[0]["direction"] == ["outside", "outside"], edge.ng.commands)
    expect(not asked.all("p-asserted-identity"), "not towards the outside")
    sip.reply(bob, asked, 200, "OK", "bob", outside_sdp(), to_tag="bob")
    answer = alice.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    caller = edges.caller_side(alice, "alice", sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    bob.expect("ACK")
    hang_up(edges.called_side(bob, "bob", asked, "bob"), caller, edge)


@case.case
def a_caller_who_gives_up_frees_the_ports(scratch):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    asked = pbx.expect("INVITE")
    sip.reply(pbx, asked, 180, "Ringing", "6001", to_tag="pbx")
    alice.expect(180)
    cancel = [("Via", sent.first("via")), ("Max-Forwards", "70"), ("From", sent.first("from")),
              ("To", sent.first("to")), ("Call-ID", sent.first("call-id")),
              ("CSeq", sent.first("cseq").split(" ")[0] + " CANCEL")]
    alice.send(sip.build(f"CANCEL {sent.uri} SIP/2.0", cancel))
    expect(alice.final(method="CANCEL").status == 200, "CANCEL is answered")
    given_up = pbx.expect("CANCEL")
    sip.reply(pbx, given_up, 200, "OK")
    sip.reply(pbx, asked, 487, "Request Terminated", to_tag="pbx")
    expect(alice.final(method="INVITE").status == 487, "the call ends")
    case.eventually(lambda: edge.ng.of("delete"), "ports are given back")


@case.case
def an_answer_that_crosses_the_cancel_is_hung_up(scratch):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    asked = pbx.expect("INVITE")
    sip.reply(pbx, asked, 180, "Ringing", "6001", to_tag="pbx")
    alice.expect(180)
    alice.send(sip.build(f"CANCEL {sent.uri} SIP/2.0", [
        ("Via", sent.first("via")), ("Max-Forwards", "70"), ("From", sent.first("from")),
        ("To", sent.first("to")), ("Call-ID", sent.first("call-id")),
        ("CSeq", sent.first("cseq").split(" ")[0] + " CANCEL")]))
    sip.reply(pbx, pbx.expect("CANCEL"), 481, "Call Does Not Exist")
    sip.reply(pbx, asked, 200, "OK", "6001", inside_sdp(), to_tag="pbx")
    answer = alice.final(method="INVITE")
    expect(answer.status == 200 and not edge.ng.of("delete"), answer.start)
    caller = edges.caller_side(alice, "alice", sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    pbx.expect("ACK")
    hang_up(caller, edges.called_side(pbx, "6001", asked, "pbx"), edge)


@case.case
def what_comes_after_the_end_of_a_call_is_not_remembered(scratch):
    """An ACK that a BYE has overtaken, and the repetition of an answer."""
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    asked = pbx.expect("INVITE")
    sip.reply(pbx, asked, 200, "OK", "6001", inside_sdp(), to_tag="pbx")
    caller = edges.caller_side(alice, "alice", sent, alice.final(method="INVITE"))
    hang_up(caller, edges.called_side(pbx, "6001", asked, "pbx"), edge)
    caller.request("ACK", cseq=int(sent.first("cseq").split(" ")[0]))
    pbx.expect("ACK")
    expect(edge.remembered("hops") == 0, "the ACK is remembered")
    sip.reply(pbx, asked, 200, "OK", "6001", inside_sdp(), to_tag="pbx")
    late = alice.final(method="INVITE")
    expect("m=audio" not in late.body, f"no media comes of it: {late.body}")
    for table in ("hops", "answered", "media"):
        left = edge.remembered(table)
        # Of the client what it did last, by its connection.
        expect(left == (1 if table == "media" else 0), f"{left} entries of {table}")


@case.case
def two_branches_of_a_proxy_are_two_calls_to_the_relay(scratch):
    """Each may be repeated; what refuses one deletes that one."""
    edge = Edge(scratch)
    pbx, first, second = edge.inside_server(), edge.client("alice"), edge.client("bob")
    call_id, tag = "fork@pbx", "caller"
    for user in ("alice", "bob"):
        sent = sip.request(pbx, "INVITE", f"sip:{user}@{DOMAIN}", f"sip:6001@{DOMAIN}",
                           user="6001", body=inside_sdp(), call_id=call_id, from_tag=tag)
        for _ in range(3):
            pbx.send(sip.build(sent.start, [
                (name, value) for name, value in sent.headers
                if name not in ("content-length", "content-type")], sent.body))
    asked = {"alice": first.expect("INVITE"), "bob": second.expect("INVITE")}
    offers = [offer["call-id"] for offer in edge.ng.of("offer")]
    expect(len(offers) == len(set(offers)) == 2, offers)
    expect(all(offer.startswith(call_id + ",") for offer in offers), offers)
    sip.reply(first, asked["alice"], 486, "Busy Here", to_tag="one")
    first.expect("ACK")
    case.eventually(lambda: edge.ng.of("delete"), "its ports are given back")
    expect(edge.remembered("hops") == 1, "the other branch is remembered")
    sip.reply(second, asked["bob"], 200, "OK", "bob", outside_sdp(), to_tag="two")
    answer = pbx.expect(200)
    expect("m=audio" in answer.body, answer.body)
    # Which offer came first is open: two processes took the two requests.
    passes = {user: sip.re.search(r";tp=i-o-([0-9a-f]{16})-", asked[user].first("record-route"))
              .group(1) for user in asked}
    expect([command["call-id"] for command in edge.ng.of("delete") + edge.ng.of("answer")]
           == [f"{call_id},{passes[user]}" for user in ("alice", "bob")], edge.ng.commands)
    expect(set(offers) == {f"{call_id},{one}" for one in passes.values()}, offers)


@case.case
def a_refused_call_frees_the_ports(scratch):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    sip.reply(pbx, pbx.expect("INVITE"), 486, "Busy Here", to_tag="pbx")
    expect(alice.final(method="INVITE").status == 486, "busy")
    case.eventually(lambda: edge.ng.of("delete"), "ports are given back")
    case.eventually(lambda: edge.remembered("hops") == 0, "nothing is remembered of it")


@case.case
def a_call_rings_every_device_of_a_user(scratch):
    edge = Edge(scratch)
    pbx, first, second = edge.inside_server(), edge.client("alice"), edge.client("alice")
    uri = f"sip:alice@{DOMAIN}"
    sent = sip.request(pbx, "INVITE", uri, f"sip:6001@{DOMAIN}", user="6001", body=inside_sdp())
    one, two = first.expect("INVITE"), second.expect("INVITE")
    sip.reply(first, one, 180, "Ringing", "alice", to_tag="one")
    sip.reply(second, two, 200, "OK", "alice", outside_sdp(), to_tag="two")
    sip.reply(first, first.expect("CANCEL"), 200, "OK")
    sip.reply(first, one, 487, "Request Terminated", to_tag="one")
    answer = pbx.final(method="INVITE")
    expect(answer.status == 200 and answer.tag("to") == "two", answer.start)
    caller = edges.caller_side(pbx, "6001", sent, answer)
    caller.request("ACK", cseq=caller.cseq, to=CLEAR)
    second.expect("ACK")
    expect(len(edge.ng.of("offer")) == 1 and not edge.ng.of("delete"), edge.ng.commands)


@case.case
def the_first_of_two_devices_that_answer_has_the_media(scratch):
    """The second 200 was under way when the CANCEL went out; its hang-up ends no media."""
    edge = Edge(scratch)
    pbx, first, second = edge.inside_server(), edge.client("alice"), edge.client("alice")
    sent = sip.request(pbx, "INVITE", f"sip:alice@{DOMAIN}", f"sip:6001@{DOMAIN}", user="6001",
                       body=inside_sdp())
    one, two = first.expect("INVITE"), second.expect("INVITE")
    calls = {}
    for agent, asked, tag in ((first, one, "one"), (second, two, "two")):
        sip.reply(agent, asked, 200, "OK", "alice", outside_sdp(), to_tag=tag)
        answer = pbx.final(method="INVITE")
        expect(answer.status == 200 and answer.tag("to") == tag, answer.headers)
        calls[tag] = edges.caller_side(pbx, "6001", sent, answer)
        calls[tag].request("ACK", cseq=calls[tag].cseq, to=CLEAR)
        agent.expect("ACK")
        expect(("m=audio" in answer.body) == (tag == "one"), f"{tag}: {answer.body}")
    expect(len(edge.ng.of("answer")) == 1, "the relay has one answer")
    for tag, agent, deleted in (("two", second, 0), ("one", first, 1)):
        calls[tag].request("BYE", to=CLEAR)
        sip.reply(agent, agent.expect("BYE"), 200, "OK")
        expect(pbx.final(method="BYE").status == 200, "BYE is answered")
        case.eventually(lambda: len(edge.ng.of("delete")) == deleted, f"{tag}: {deleted} deletes")
    expect(len(edge.ng.of("delete")) == 1, "one delete in all")
    case.eventually(lambda: edge.remembered("hops") == 0 and edge.remembered("answered") == 0,
                    "nothing is remembered of the call")


@case.case
def an_offer_may_follow_in_the_answer(scratch):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", "")
    asked = pbx.expect("INVITE")
    expect(not asked.body and not edge.ng.commands, "nothing to offer yet")
    sip.reply(pbx, asked, 200, "OK", "6001", inside_sdp(), to_tag="pbx")
    answer = alice.final(method="INVITE")
    offer = edge.ng.of("offer")[0]
    expect(offer["direction"] == ["inside", "outside"], offer)
    expect(offer["transport-protocol"] == "RTP/SAVP" and "RTP/SAVP" in answer.body, answer.body)
    caller = edges.caller_side(alice, "alice", sent, answer)
    caller.request("ACK", outside_sdp(), cseq=caller.cseq)
    confirmed = pbx.expect("ACK")
    expect("RTP/AVP" in confirmed.body and len(edge.ng.of("answer")) == 1, confirmed.body)


@case.case
def a_client_behind_nat_is_reached_where_it_is(scratch):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.connect()
    alice.local = ("192.168.1.20", 5061)  # what it believes of itself
    expect(edges.register(alice, "alice", edges.PASSWORDS["alice"]).status == 200, "registers")
    body = outside_sdp().replace(network.OUTSIDE.v4, "192.168.1.20")
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", body)
    asked = pbx.expect("INVITE")
    expect("SIP-source-address" in edge.ng.of("offer")[0]["flags"], edge.ng.commands)
    sip.reply(pbx, asked, 200, "OK", "6001", inside_sdp(), to_tag="pbx")
    answer = alice.final(method="INVITE")
    caller = edges.caller_side(alice, "alice", sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    pbx.expect("ACK")
    hang_up(edges.called_side(pbx, "6001", asked, "pbx"), caller, edge, to=CLEAR)


@case.case
def the_next_server_takes_over_when_one_fails(scratch):
    other = 5072
    edge = Edge(scratch, {"sip.servers.pbx": {"uris": [
        f"sip:{network.INSIDE.v4}:{edges.PBX_PORT}", f"sip:{network.INSIDE.v4}:{other}"]}})
    first, second = edge.inside(edges.PBX_PORT), edge.inside(other)
    first.answers_options = second.answers_options = True
    alice = edge.client("alice")
    edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    sip.reply(first, first.expect("INVITE"), 503, "Service Unavailable", to_tag="a")
    sip.reply(second, second.expect("INVITE"), 200, "OK", "6001", inside_sdp(), to_tag="b")
    expect(alice.final(method="INVITE").status == 200, "the second one answers")
    expect(len(edge.ng.of("offer")) == 1 and not edge.ng.of("delete"), edge.ng.commands)


@case.case
def a_dead_server_is_seen_and_said(scratch):
    edge = Edge(scratch)
    pbx = edge.inside(edges.PBX_PORT)
    sip.reply(pbx, pbx.expect("OPTIONS"), 200, "OK")
    pbx.close()
    case.eventually(lambda: "does not answer OPTIONS" in edge.log(), "the loss is noticed", 40)
    alice = edge.client("alice")
    edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    answer = alice.final(method="INVITE")
    expect(answer.status == 503 and answer.first("retry-after"), answer.start)
    expect(not edge.ng.of("offer"), "no port for a call that goes nowhere")
    pbx = edge.inside(edges.PBX_PORT)
    pbx.answers_options = True

    def back():
        try:
            pbx.expect("none", 0.2)
        except AssertionError:
            return "server sip" in edge.log() and " answers OPTIONS" in edge.log()
    case.eventually(back, "its return is noticed", 30)


@case.case
def a_call_goes_on_after_the_sidecar_was_restarted(scratch):
    """What the inside sends within the call is routed by what the messages carry alone."""
    edge = Edge(scratch)
    caller, called, _, _ = established_to_inside(edge)
    case.end_group(edge.process)
    (edge.folder / "turnpike_ctl").unlink(missing_ok=True)
    edge.start()
    alice = caller.agent = edge.connect()
    victim = edge.inside(6379)
    # Where the client is now it has not said yet, and nobody may name a place that took no part.
    good, caller.target = caller.target, f"sip:x@{network.INSIDE.v4}:6379"
    for side, body, to in ((called, inside_sdp(), CLEAR), (caller, outside_sdp(), None)):
        sent = side.request("INVITE", body, to=to)
        answer = side.agent.final(method="INVITE")
        expect(answer.status == 480, answer.start)
        sip.acknowledge(side.agent, sent, answer)
    expect(answer.first("retry-after") and not victim.received, str(answer.headers))
    expect(edge.counter("refused_offline") == 1, "it is counted")
    caller.target = good
    caller.request("INFO")
    sip.reply(called.agent, called.agent.expect("INFO"), 200, "OK")
    expect(alice.final(method="INFO").status == 200, "the call goes on")
    caller.request("BYE")
    asked = called.agent.expect("BYE")
    sip.reply(called.agent, asked, 200, "OK")
    expect(caller.agent.final(method="BYE").status == 200, "hang-up works")


@case.case
def sip_goes_on_while_the_relay_is_stopped(scratch):
    """A stopped relay takes commands and never answers; no SIP worker may wait for it."""
    edge = Edge(scratch)
    caller, called, _, _ = established_to_inside(edge)
    edge.ng.running.clear()
    case.eventually(lambda: "the relay is stopped" in edge.log(), "it is noticed")
    for _ in range(8):  # more than there are workers
        edges.invite(caller.agent, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
        answer = caller.agent.final(1.5, method="INVITE")
        expect(answer.status == 503 and answer.first("retry-after"), answer.start)
    edge.client("bob")
    caller.request("BYE")
    sip.reply(called.agent, called.agent.expect("BYE", 1.5), 200, "OK")
    expect(caller.agent.final(1.5, method="BYE").status == 200, "hang-up")
    edge.ng.running.set()
    case.eventually(lambda: "the relay goes on" in edge.log(), "its return is noticed")
    edges.invite(caller.agent, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    called.agent.expect("INVITE")


@case.case
def hang_up_does_not_wait_for_the_relay(scratch):
    """Even before its silence is noticed."""
    edge = Edge(scratch, {"api": {"metrics": ""}})
    caller, called, _, _ = established_to_inside(edge)
    edge.ng.running.clear()
    caller.request("BYE")
    sip.reply(called.agent, called.agent.expect("BYE", 1.5), 200, "OK")
    expect(caller.agent.final(1.5, method="BYE").status == 200, "hang-up")


@case.case
def a_dead_relay_means_503_at_once(scratch):
    edge = Edge(scratch)
    alice, _ = edge.client("alice"), edge.inside_server()
    edge.ng.close()
    for _ in range(3):
        edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
        expect(alice.final(1.5, method="INVITE").status == 503, "refused at once")


@case.case
def calls_over_ipv6(scratch):
    edge = Edge(scratch)
    pbx = edge.inside_server()
    alice = sip.Agent(network.OUTSIDE, 0, "tls", network.OUTSIDE.v6)
    scratch.on_exit(alice.close)
    alice.connect(("2001:db8:51::1", 5061), edge.certificates.context(), DOMAIN)
    expect(edges.register(alice, "alice", edges.PASSWORDS["alice"]).status == 200, "registers")
    body = outside_sdp().replace("IP4 " + network.OUTSIDE.v4, "IP6 " + network.OUTSIDE.v6)
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", body)
    asked = pbx.expect("INVITE")
    sip.reply(pbx, asked, 200, "OK", "6001", inside_sdp(), to_tag="pbx")
    answer = alice.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    caller = edges.caller_side(alice, "alice", sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    pbx.expect("ACK")
    hang_up(edges.called_side(pbx, "6001", asked, "pbx"), caller, edge, to=CLEAR)
    expect("address-family" not in edge.ng.of("offer")[0], "the inside has the relay's choice")
    for client, family in ((alice, "IP6"), (edge.client("bob"), "IP4")):
        user = "alice" if client is alice else "bob"
        sip.request(pbx, "INVITE", f"sip:{user}@{DOMAIN}", f"sip:6001@{DOMAIN}", user="6001",
                    body=inside_sdp())
        client.expect("INVITE")
        expect(edge.ng.of("offer")[-1]["address-family"] == family, edge.ng.of("offer")[-1])


@case.case
def what_ringing_phones_name_themselves_fills_no_memory(scratch):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    sent = sip.request(pbx, "INVITE", f"sip:alice@{DOMAIN}", f"sip:6001@{DOMAIN}", user="6001",
                       body=inside_sdp())
    asked = alice.expect("INVITE")
    before = edge.remembered("media")
    for number in range(120):
        sip.reply(alice, asked, 183, "Session Progress", "alice", outside_sdp(),
                  to_tag=f"t{number}")
    sip.reply(alice, asked, 200, "OK", "alice", outside_sdp(), to_tag="x" * 200)
    answer = pbx.final(method="INVITE")
    expect(answer.status == 200 and "m=" not in answer.body, f"a long tag: {answer.body}")
    # Of the connection; nothing of the parties that only rang.
    expect(edge.remembered("media") <= before + 1, "each tag is remembered")
    ringing = [one for one in pbx.received if one.status == 183]
    expect(50 < len(ringing) <= 100, f"{len(ringing)} answers passed")
    expect(len(edge.ng.of("delete")) == 1 and edge.remembered("hops") == 0,
           "the ports that nobody can give back are given back")


@case.case
def tags_that_a_client_invents_within_a_call_fill_no_memory(scratch):
    """What signs a dialog covers the other side's tag: a client's own is its word."""
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    sent = sip.request(pbx, "INVITE", f"sip:alice@{DOMAIN}", f"sip:6001@{DOMAIN}", user="6001",
                       body=inside_sdp())
    asked = alice.expect("INVITE")
    sip.reply(alice, asked, 200, "OK", "alice", outside_sdp(), to_tag="alice")
    caller = edges.caller_side(pbx, "6001", sent, pbx.final(method="INVITE"))
    caller.request("ACK", cseq=caller.cseq, to=CLEAR)
    alice.expect("ACK")
    called = edges.called_side(alice, "alice", asked, "alice")
    before = edge.remembered("media")
    asking = len(edge.ng.of("offer"))
    for number in range(40):
        called.from_header = f"{asked.first('to')};tag=invented-{number}"
        called.request("UPDATE", body=outside_sdp())
    case.eventually(lambda: len(edge.ng.of("offer")) >= asking + 40, "each reaches the relay")
    left = edge.remembered("media") - before
    expect(left <= 8, f"{left} invented parties are remembered")
    called.from_header = f"{asked.first('to')};tag=alice"
    hang_up(called, caller, edge)
    expect(edge.remembered("parties") == 0, "nothing is left of the call")


if __name__ == "__main__":
    case.run()
