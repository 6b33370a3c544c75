"""Foreign SIP servers of a traversal pair: they meet the edge by mutual TLS, the core says what
they may do."""

# time limit: 300 s

import socket
import ssl
import struct

import edge as edges
import servers
import sip
from edge import case
from lib.case import eventually, expect
from sip_pair import Pair, Place, hang_up, hold, passes, uri
from traversal import DOMAIN, EDGE_OUTSIDE, NUMBER, PHONE_ADDRESS

MTLS = (EDGE_OUTSIDE, 5062)
PARTNER, JOE = "partner.example", "sip:joe@partner.example"
STRANGER = "sip:x@stranger.example"
VOUCHED = ("P-Turnpike-Client", "=partner/192.0.2.1/s")


def pair_with_peer(scratch, core=None, **more):
    """The partner's server is where a NAT would be: the edge reaches it without one."""
    pki = scratch.folder / "pki"
    at_edge = {
        "sip": {"peer_certificate_file": pki / "traversal.pem",
                "peer_private_key_file": pki / "traversal.key", "keepalive_seconds": 1,
                "trust_file": pki / "ca.pem"},
        "sip.peer.partner": {
            "domains": [PARTNER], "certificate_names": [f"sip.{PARTNER}"],
            "uri": f"sip:{PHONE_ADDRESS['nat']}:5062;transport=tls"},
        # Its core does not know this one.
        "sip.peer.stranger": {"domains": ["stranger.example"],
                              "certificate_names": ["sip.stranger.example"]}}
    at_core = {"sip.peer.partner": {"domains": [PARTNER]}}
    for section, keys in (core or {}).items():
        at_core.setdefault(section, {}).update(keys)
    return Pair(scratch, edge=at_edge, core=at_core, **more)


def peer(pair, certificate="peer-partner", port=0):
    """A connection of the partner's server to the edge."""
    agent = sip.Agent(pair.place("nat"), port, "tls")
    pair.scratch.on_exit(agent.close)
    return agent.connect(MTLS, pair.certificates.context(certificate), DOMAIN)


def partner_server(pair, certificate="peer-partner"):
    """What the edge calls."""
    return servers.TlsServer(pair.scratch, pair, certificate, pair.place("nat"), 5062, ask="ca")


def invite(agent, to=NUMBER, caller=JOE, body="", **options):
    return sip.request(agent, "INVITE", uri(to), caller, user="joe",
                       body=body or edges.outside_sdp(), **options)


def refused(agent, status, **options):
    sent = invite(agent, **options)
    answer = agent.final(method="INVITE")
    expect(answer.status == status, f"{answer.start}, not {status}")
    sip.acknowledge(agent, sent, answer)
    return answer


def nothing_left(pair):
    for role in ("edge", "core"):
        eventually(lambda: passes(pair.of(role, "delete")) == passes(pair.of(role, "offer")),
                   f"the {role} gives all ports back")


def peer_answers(pair, server, times=1):
    """The edge has found out who it is, for the first, second... time."""
    said = f"peer partner ({PHONE_ADDRESS['nat']}:5062) answers"
    eventually(lambda: pair.edge.log("kamailio").count(said) == times,
               lambda: f"the edge is answered {server.failures}", 15)


def second_edge(pair, desk):
    """What the SIP server of another edge could send to the core, in the name of edge-0."""
    with pair.core.sidecar_config_path.open("a") as file:
        file.write(f'[zone.dmz.peer.edge-0]\ntls_name = "edge-0.{DOMAIN}"\n'
                   'address = "192.0.2.99:7001"\n'
                   'sip_listen = "127.0.0.2:7101"\nsip_target = "127.0.0.2:7201"\n')
    pair.core.kill_kamailio()
    pair.core.start_kamailio()
    eventually(lambda: "dmz/core-1 is back" in pair.edge.log("kamailio"), "the core is back")
    def sees_phone():
        desk._read(0.05)
        return pair.pair.core_sees_phone()
    eventually(sees_phone, "the core sees the phone", 10)
    agent = sip.Agent(Place(pair.net.name("core"), "127.0.0.2"), 0, "tcp")
    pair.scratch.on_exit(agent.close)
    return agent.connect(("127.0.0.2", 7201))


def call_of_desk(desk, to=JOE):
    return sip.request(desk, "INVITE", to, uri(NUMBER), user=NUMBER, body=edges.inside_sdp())


def call_of_desk_is_up(server, desk):
    """(the desk's sip.Call, the INVITE as the peer's server saw it)"""
    sent = call_of_desk(desk)
    asked = server.expect("INVITE")
    server.answer(asked, 200, "OK", user="joe", body=edges.outside_sdp(), to_tag="joe")
    caller = edges.caller_side(desk, NUMBER, sent, desk.final(method="INVITE"))
    caller.request("ACK", cseq=caller.cseq)
    server.expect("ACK")
    return caller, asked


def lost_peer(scratch):
    """(pair, desk, its sip.Call with the peer, the INVITE): the peer's server is gone."""
    pair = pair_with_peer(scratch)
    server, desk = partner_server(pair), pair.desk()
    peer_answers(pair, server)
    caller, asked = call_of_desk_is_up(server, desk)
    server.close()
    return pair, desk, caller, asked


def call_of_peer_is_up(partner, desk, extra=()):
    """The desk's sip.Call."""
    sent = invite(partner, extra=list(extra))
    asked = desk.expect("INVITE")
    sip.reply(desk, asked, 200, "OK", NUMBER, edges.inside_sdp(), to_tag="desk")
    caller = edges.caller_side(partner, "joe", sent, partner.final(method="INVITE"))
    caller.routes = caller.routes[len(extra):]
    caller.request("ACK", cseq=caller.cseq)
    desk.expect("ACK")
    return edges.called_side(desk, NUMBER, asked, "desk")


def reaches_nobody(desk, others=None):
    """What `desk`, a sip.Call, says within its call is refused and does not end it; `others`, an
    agent or server, gets none of it."""
    for method, body in (("INVITE", edges.inside_sdp(direction="sendonly")), ("INFO", "")):
        sent = desk.request(method, body)
        answer = desk.agent.final(method=method)
        expect(answer.status == 480 and answer.first("retry-after"), f"{method}: {answer.headers}")
        if method == "INVITE":
            sip.acknowledge(desk.agent, sent, answer)
    if others:
        got_nothing(others)


def got_nothing(other):
    if isinstance(other, sip.Agent):
        # What was sent before this is answered has arrived.
        refused(other, 403, caller=STRANGER)
    for message in other.received:
        expect(message.method in ("", "OPTIONS", "ACK"), f"it got {message.start}")


def held_at_peer(desk, server):
    """`desk`, a sip.Call, makes a new offer to the peer, whose server has it."""
    again = desk.request("INVITE", edges.inside_sdp(direction="sendonly"))
    server.answer(server.expect("INVITE"), 200, "OK", user="joe", body=edges.outside_sdp())
    expect(desk.agent.final(method="INVITE").status == 200, "the call goes on")
    desk.request("ACK", cseq=int(again.first("cseq").split()[0]))
    server.expect("ACK")


@case.case
def a_peer_calls_a_phone_inside(scratch):
    pair = pair_with_peer(scratch)
    partner, desk = peer(pair), pair.desk()
    sent = invite(partner, extra=[("P-Asserted-Identity", f"<{JOE}>"),
                                  ("Record-Route", "<sip:proxy.partner.example;transport=tls;lr>")])
    asked = desk.expect("INVITE")
    expect(asked.all("p-asserted-identity") == [f"<{JOE}>"] and "RTP/AVP" in asked.body
           and not asked.first("p-turnpike-client"), str(asked.headers))
    expect(any("proxy.partner" in route for route in asked.all("record-route")),
           "a peer may have a proxy")
    offer, = pair.offers("edge")
    expect(offer["direction"] == ["outside", "dmz/core-1"], offer)
    offer, = pair.offers("core")
    expect(offer["direction"] == ["dmz/edge-1", "inside"]
           and offer["transport-protocol"] == "RTP/AVP", offer)
    sip.reply(desk, asked, 200, "OK", NUMBER, edges.inside_sdp(), to_tag="desk")
    answer = partner.final(method="INVITE")
    expect(answer.status == 200 and "RTP/SAVP" in answer.body, answer.start)
    caller = edges.caller_side(partner, "joe", sent, answer)
    caller.routes = [route for route in caller.routes if "proxy.partner" not in route]
    caller.request("ACK", cseq=caller.cseq)
    desk.expect("ACK")
    hold(caller, desk)
    hang_up(caller, desk)
    nothing_left(pair)
    # The same without a proxy, ended inside.
    hang_up(call_of_peer_is_up(partner, desk), partner)
    nothing_left(pair)
    expect(pair.net.firewall_counters()["from_edge_new"] == 0, "the edge began something")


@case.case
def a_phone_inside_calls_a_peer(scratch):
    pair = pair_with_peer(scratch)
    server, desk = partner_server(pair), pair.desk()
    peer_answers(pair, server)
    sent = call_of_desk(desk)
    asked = server.expect("INVITE")
    expect("RTP/SAVP" in asked.body and "a=crypto" in asked.body and not asked.first("route"),
           f"{asked.headers} {asked.body}")
    offer, = pair.offers("core")
    expect(offer["direction"] == ["inside", "dmz/edge-1"] and "ICE" not in offer
           and offer["transport-protocol"] == "RTP/SAVP", offer)
    offer, = pair.offers("edge")
    expect(offer["direction"] == ["dmz/core-1", "outside"] and offer["ICE"] == "remove", offer)
    server.answer(asked, 200, "OK", user="joe", body=edges.outside_sdp(), to_tag="joe")
    answer = desk.final(method="INVITE")
    expect(answer.status == 200 and "RTP/AVP" in answer.body, answer.start)
    caller = edges.caller_side(desk, NUMBER, sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    server.expect("ACK")
    held = caller.request("INVITE", edges.inside_sdp(direction="sendonly"))
    server.answer(server.expect("INVITE"), 200, "OK", user="joe", body=edges.outside_sdp())
    expect(desk.final(method="INVITE").status == 200, "held")
    caller.request("ACK", cseq=int(held.first("cseq").split()[0]))
    server.expect("ACK")
    edges.called_side(server.agent, "joe", asked, "joe").request("BYE")
    sip.reply(desk, desk.expect("BYE"), 200, "OK")
    expect(server.expect(200).cseq_method == "BYE", "BYE is answered")
    nothing_left(pair)
    # What the peer says is the caller's answer.
    sent = call_of_desk(desk)
    server.answer(server.expect("INVITE"), 486, "Busy Here")
    answer = desk.final(method="INVITE")
    expect(answer.status == 486, answer.start)
    sip.acknowledge(desk, sent, answer)
    nothing_left(pair)
    expect(len(pair.of("edge", "offer")) == 3, "it was tried once")
    expect(server.shown >= {DOMAIN}, f"the edge shows {server.shown}")


@case.case
def keys_within_a_call_go_to_no_impostor(scratch):
    """Who has taken over the peer's address has a good certificate, of another name."""
    pair = pair_with_peer(scratch)
    pair.certificates.make("wrong-name", "DNS:sip.elsewhere.example")
    server, desk = partner_server(pair), pair.desk()
    peer_answers(pair, server)
    caller, _ = call_of_desk_is_up(server, desk)
    server.close()
    for says_who_it_is in (False, True):
        impostor = partner_server(pair, "wrong-name")
        impostor.answers_options = says_who_it_is
        eventually(lambda: impostor.connections, "the edge asks who is there", 15)
        reaches_nobody(caller, impostor)
        impostor.close()
    server = partner_server(pair)
    peer_answers(pair, server, 2)
    expect(pair.remembered("edge", "peer_of") == 1, "of each connection that is there")
    held_at_peer(caller, server)


@case.case
def a_peer_within_a_call_is_no_other_peer(scratch):
    """One that names another one's address, and one whose own address another one has now."""
    pair = pair_with_peer(scratch)
    desk, partner = pair.desk(), peer(pair)
    other = peer(pair, "peer-stranger")
    refused(other, 403, caller=STRANGER)
    there = f"<sip:{other.host}:{other.local[1]};transport=tls;lr>"
    called = call_of_peer_is_up(partner, desk, [("Record-Route", there)])
    for method in ("INVITE", "INFO"):
        sent = called.request(method, edges.inside_sdp() if method == "INVITE" else "")
        sip.reply(partner, partner.expect(method), 488, "Not Acceptable Here")
        answer = desk.final(method=method)
        expect(answer.status == 488, f"it is its own next hop: {answer.start}")
        if method == "INVITE":
            sip.acknowledge(desk, sent, answer)
    got_nothing(other)
    partner.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    partner.close()
    for says_who_it_is in (False, True):
        impostor = peer(pair, "peer-stranger", partner.local[1])
        if says_who_it_is:
            refused(impostor, 403, caller=STRANGER)
        reaches_nobody(called, impostor)
        impostor.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        impostor.close()
    partner = peer(pair, port=partner.local[1])
    refused(partner, 403, to="unknown-name")
    called.request("BYE")
    sip.reply(partner, partner.expect("BYE"), 200, "OK")
    expect(desk.final(method="BYE").status == 200, "hung up")


@case.case
def what_a_peer_says_before_it_answers_counts(scratch):
    """Over a connection of the edge's: 481, as to somebody unknown, would end its call."""
    pair, desk, caller, asked = lost_peer(scratch)
    server = partner_server(pair)
    server.answers_options = False
    server.expect("OPTIONS")
    sent = call_of_desk(desk)
    answer = desk.final(method="INVITE")
    expect(answer.status == 503 and answer.first("retry-after"), f"a new call: {answer.start}")
    sip.acknowledge(desk, sent, answer)
    said = edges.called_side(server.agent, "joe", asked, "joe")
    said.request("INVITE", edges.outside_sdp(direction="sendonly"))
    sip.reply(desk, desk.expect("INVITE"), 200, "OK", NUMBER, edges.inside_sdp())
    expect(server.expect(200).cseq_method == "INVITE", "held by the peer")
    said.request("ACK", cseq=said.cseq)
    desk.expect("ACK")
    held_at_peer(caller, server)
    # A client has no certificate, which is no line in the log either.
    alice = pair.client("alice")
    said.agent = alice
    said.request("INFO")
    expect(alice.final(method="INFO").status == 481, "a client speaks for the peer")
    expect("retrieve peer TLS certificate" not in pair.edge.log("kamailio"), "a line for each")


@case.case
def an_edge_that_begins_anew_ends_no_call_with_a_peer(scratch):
    pair, desk, caller, _ = lost_peer(scratch)
    pair.edge.kill_kamailio()
    pair.edge.start_kamailio()
    eventually(lambda: "dmz/edge-1 is back" in pair.core.log("kamailio"), "the edge is back")
    reaches_nobody(caller)
    expect(pair.edge.refusals("refused_offline") == 2, "it is counted")
    server = partner_server(pair)
    peer_answers(pair, server, 2)
    held_at_peer(caller, server)
    caller.request("BYE")
    server.answer(server.expect("BYE"), 200, "OK")
    expect(desk.final(method="BYE").status == 200, "hung up")
    nothing_left(pair)


@case.case
def clients_and_peers_call_each_other(scratch):
    pair = pair_with_peer(scratch)
    server, alice = partner_server(pair), pair.client("alice")
    peer_answers(pair, server)
    pair.invite(alice, "alice", JOE, edges.outside_sdp())
    asked = server.expect("INVITE")
    expect(not asked.all("p-asserted-identity"), f"told to strangers: {asked.headers}")
    directions = [offer["direction"] for offer in pair.offers("edge")]
    expect(directions == [["outside", "dmz/core-1"], ["dmz/core-1", "outside"]], directions)
    server.answer(asked, 486, "Busy Here")
    expect(alice.final(method="INVITE").status == 486, "busy")
    partner = peer(pair)
    invite(partner, "alice")
    sip.reply(alice, alice.expect("INVITE"), 486, "Busy Here")
    expect(partner.final(method="INVITE").status == 486, "busy")
    nothing_left(pair)


@case.case
def a_peer_is_who_its_certificate_names(scratch):
    pair = pair_with_peer(scratch)
    desk, name = pair.desk(), f"DNS:sip.{PARTNER}"
    made = pair.certificates
    made.authority("stranger-ca")
    made.make("wrong-ca", name, authority="stranger-ca")
    made.make("server-only", name, "serverAuth")
    made.make("expired", name, expired=True)
    made.make("nobody", "DNS:sip.nobody.example")
    for certificate in ("", "wrong-ca", "server-only", "expired"):
        agent = sip.Agent(pair.place("nat"), 0, "tls")
        scratch.on_exit(agent.close)
        try:
            agent.connect(MTLS, made.context(certificate), DOMAIN)
            invite(agent)
            answer = agent.final(3).start
        except (ssl.SSLError, ConnectionError):
            continue
        raise case.Failed(f"{certificate}: {answer}")
    refused(peer(pair, "nobody"), 403)
    expect(pair.edge.refusals("refused_peer") == 1, "it is counted")
    expect(not [message for message in desk.received if message.method == "INVITE"]
           and not pair.of("edge", "offer") and not pair.of("core", "offer"), "nothing got through")


@case.case
def a_peer_speaks_for_its_own_domains(scratch):
    pair = pair_with_peer(scratch)
    partner, desk, alice = peer(pair), pair.desk(), pair.client("alice")
    anonymous = "sip:anonymous@anonymous.invalid"
    for caller, asserted in ((uri("alice"), ""), ("sip:joe@example.com", ""), (anonymous, ""),
                             (anonymous, uri("alice")), (JOE, "sip:x@stranger.example")):
        more = [("P-Asserted-Identity", f"<{asserted}>")] if asserted else []
        refused(partner, 403, caller=caller, extra=more)
    expect(pair.edge.refusals("refused_identity") == 5, "it is counted")
    refused(partner, 488, body=sip.sdp("192.168.7.10", 40000, "RTP/AVP"))
    refused(partner, 403, to="unknown-name")
    sip.request(partner, "INVITE", "sip:1000@elsewhere.example", JOE, body=edges.outside_sdp())
    expect(partner.final(method="INVITE").status == 403, "an open relay")
    sip.request(partner, "REGISTER", f"sip:{DOMAIN}", uri("alice"), uri("alice"))
    expect(partner.final(method="REGISTER").status == 403, "it registered")
    # Nobody becomes a peer by saying so.
    sip.request(alice, "INVITE", uri(NUMBER), JOE, body=edges.outside_sdp(), extra=[VOUCHED])
    expect(alice.final(method="INVITE").status == 403, "a client speaks for the partner")
    # One that the edge knows and the core does not.
    stranger = peer(pair, "peer-stranger")
    refused(stranger, 403, caller=STRANGER)
    expect(pair.core.refusals("refused_peer") == 1, "it is counted")
    expect(not [message for message in desk.received if message.method == "INVITE"], "it rang")
    nothing_left(pair)
    # What is hidden from the called side is known to the core.
    invite(partner, caller=anonymous, extra=[("P-Asserted-Identity", f"<{JOE}>")])
    expect(desk.expect("INVITE").all("p-asserted-identity") == [f"<{JOE}>"], "who it is")


@case.case
def the_core_judges_for_itself_what_an_edge_says_of_peers(scratch):
    pair = pair_with_peer(scratch)
    pair.desk()
    edge = pair.stream("edge")
    for caller, said in ((uri("alice"), "=partner/192.0.2.1/s"),
                         ("sip:x@stranger.example", "=partner/192.0.2.1/s"),
                         ("sip:x@stranger.example", "=stranger/192.0.2.1/s"),
                         (JOE, "=partner;x/192.0.2.1/s"), (JOE, "=/192.0.2.1/s"),
                         (JOE, "partner/192.0.2.1/s"), (JOE, "=partner/192.0.2.1/f")):
        refused(edge, 403, caller=caller, extra=[("P-Turnpike-Client", said)])
    refused(edge, 488, body=sip.sdp("192.168.7.10", 40000, "RTP/AVP"), extra=[VOUCHED])
    sip.request(edge, "REGISTER", f"sip:{DOMAIN}", uri("alice"), uri("alice"), extra=[VOUCHED])
    expect(edge.final(method="REGISTER").status == 403, "it registered")
    expect(not pair.of("core", "offer"), "it got ports")
    # And the edge sends nothing to a peer that its zone does not call by its own name.
    core = pair.stream("core")
    for named, to in (("partner", "sip:x@elsewhere.example"), ("stranger", JOE), ("nobody", JOE)):
        sip.request(core, "INVITE", to, uri(NUMBER), body=edges.outside_sdp(),
                    extra=[("Route", f"<sip:{named}@peer.invalid;lr>")])
        expect(core.final(method="INVITE").status == 430, f"{named} {to}")
    expect(not pair.of("edge", "offer"), "it got ports")


@case.case
def the_cores_limit_of_calls_is_for_all_edges(scratch):
    pair = pair_with_peer(scratch, core={"sip": {"peer_calls_per_minute_max": 2}})
    desk = pair.desk()
    other, partner = second_edge(pair, desk), peer(pair)
    for agent in (partner, other):
        sent = invite(agent, extra=[VOUCHED])
        sip.reply(desk, desk.expect("INVITE"), 486, "Busy Here")
        answer = agent.final(method="INVITE")
        expect(answer.status == 486, answer.start)
        sip.acknowledge(agent, sent, answer)
    answer = refused(partner, 503, caller=f"sip:other@{PARTNER}")
    expect(answer.first("retry-after"), str(answer.headers))
    expect(pair.core.refusals("refused_rate") == 1, "it is counted")
    nothing_left(pair)


@case.case
def a_core_may_say_by_which_edges_a_peer_comes(scratch):
    pair = pair_with_peer(scratch, core={"sip.peer.partner": {"edges": ["edge-1"]}})
    desk = pair.desk()
    other, partner = second_edge(pair, desk), peer(pair)
    refused(other, 403, extra=[VOUCHED])
    expect(pair.core.refusals("refused_peer") == 1, "it is counted")
    sent = invite(partner)
    sip.reply(desk, desk.expect("INVITE"), 486, "Busy Here")
    answer = partner.final(method="INVITE")
    expect(answer.status == 486, answer.start)
    sip.acknowledge(partner, sent, answer)


@case.case
def a_call_to_a_peer_is_never_downgraded(scratch):
    pair = pair_with_peer(scratch)
    made, desk = pair.certificates, pair.desk()
    made.authority("stranger-ca")
    made.make("wrong-ca", f"DNS:sip.{PARTNER}", authority="stranger-ca")
    made.make("wrong-name", "DNS:sip.elsewhere.example")
    def no_call(reason):
        sent = call_of_desk(desk)
        answer = desk.final(method="INVITE")
        expect(answer.status == 503 and answer.first("retry-after"), f"{reason}: {answer.start}")
        sip.acknowledge(desk, sent, answer)
    no_call("nobody is there")
    for certificate, said in (("wrong-ca", "verify failed"),
                              ("wrong-name", "sip.elsewhere.example")):
        server = partner_server(pair, certificate)
        eventually(lambda: server.connections or server.failures, "it is tried", 15)
        eventually(lambda: said in pair.edge.log("kamailio"), f"the log says {said}")
        no_call(certificate)
        expect(not server.invites(), f"{certificate}: it got the call")
        server.close()
    # A plain one at the same place gets a handshake and nothing else.
    plain = servers.StreamServer(scratch, pair.place("nat"), 5062)
    eventually(lambda: plain.connections, "it is tried", 15)
    no_call("plain")
    expect(not plain.received, "it got SIP")
    plain.close()
    expect(not pair.offers("edge"), "no ports for nobody")
    nothing_left(pair)
    # Once it is there and is who it should be, calls go through; when it falls silent, no more.
    server = partner_server(pair)
    peer_answers(pair, server)
    sent = call_of_desk(desk)
    server.answer(server.expect("INVITE"), 486, "Busy Here")
    answer = desk.final(method="INVITE")
    expect(answer.status == 486, answer.start)
    sip.acknowledge(desk, sent, answer)
    def misses():
        return pair.edge.log("kamailio").count("does not answer over a verified")
    before = misses()
    server.agent.answers_options = False
    eventually(lambda: misses() > before, "the edge notices", 20)
    no_call("silent")
    expect(not server.invites(), "it got the call")


class TwoEdges:
    """edge-1 reaches the peer; edge-0, a socket of the test, would be asked first."""

    def __init__(self, scratch, **options):
        self.pair = pair_with_peer(scratch, **options)
        self.server, self.desk = partner_server(self.pair), self.pair.desk()
        peer_answers(self.pair, self.server)
        self.other = servers.StreamServer(scratch, Place(self.pair.net.name("core"), "127.0.0.2"),
                                          7101)
        second_edge(self.pair, self.desk)

        def sees_all():
            self.desk._read(0.05)
            return self.pair.core.sip("dispatcher.list").count("FLAGS: AP") == 3
        eventually(sees_all, "the core sees both edges and the phone", 15)

    def call(self, is_first_asked):
        """The edges by which it went."""
        before = len(self.pair.of("core", "offer"))
        sent = call_of_desk(self.desk)
        if is_first_asked:
            self.other.answer(self.other.expect("INVITE"), 430, "Flow Failed")
        self.server.answer(self.server.expect("INVITE"), 486, "Busy Here")
        answer = self.desk.final(method="INVITE")
        expect(answer.status == 486, answer.start)
        sip.acknowledge(self.desk, sent, answer)
        nothing_left(self.pair)
        return [offer["direction"][1] for offer in self.pair.of("core", "offer")][before:]


@case.case
def the_next_edge_is_asked_for_a_peer(scratch):
    """One that does not reach it says 430; one that is lost is passed over."""
    edges_of = TwoEdges(scratch)
    asked = edges_of.call(is_first_asked=True)
    expect(asked == ["dmz/edge-0", "dmz/edge-1"], asked)
    edges_of.other.close()
    eventually(lambda: "dmz/edge-0 is out of reach" in edges_of.pair.core.log("kamailio"),
               "it is noticed")
    asked = edges_of.call(is_first_asked=False)
    expect(asked == ["dmz/edge-1"], asked)


@case.case
def a_peer_is_called_by_its_own_edges_only(scratch):
    asked = TwoEdges(scratch, core={"sip.peer.partner": {"edges": ["edge-1"]}}).call(False)
    expect(asked == ["dmz/edge-1"], asked)


if __name__ == "__main__":
    case.run()
