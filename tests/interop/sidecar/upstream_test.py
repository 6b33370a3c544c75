"""Registrations kept by a server of the inside network: what passes through, and what not."""

# time limit: 200 s

import re

import edge as edges
import sip
from edge import DOMAIN, Edge, case, inside_sdp, network, outside_sdp
from lib.case import expect

PORT = 5080
CHALLENGE = 'Digest realm="pbx.example", nonce="n1", algorithm=MD5, qop="auth"'


class Registrar:
    """The inside server, played by hand: it challenges once and remembers Path and Contact."""

    def __init__(self, edge):
        self.agent = edge.inside(PORT)
        self.agent.answers_options = True
        self.bindings = {}

    def respond(self, asked, status, reason, extra=(), body=""):
        headers = [("Via", via) for via in asked.all("via")]
        headers += [("Record-Route", route) for route in asked.all("record-route")]
        headers += [("From", asked.first("from")), ("To", asked.first("to") + ";tag=pbx"),
                    ("Call-ID", asked.first("call-id")), ("CSeq", asked.first("cseq"))]
        self.agent.send(sip.build(f"SIP/2.0 {status} {reason}", headers + list(extra), body),
                        asked.source)

    def register(self, client, user, expires=600):
        """Carries `client` through a registration; the REGISTER as it arrived here."""
        uri = f"sip:{DOMAIN}"
        sent = sip.request(client, "REGISTER", uri, f"sip:{user}@{DOMAIN}",
                           f"sip:{user}@{DOMAIN}", user=user, extra=[("Expires", str(expires))])
        self.respond(self.agent.expect("REGISTER"), 401, "Unauthorized",
                     [("WWW-Authenticate", CHALLENGE)])
        challenge = client.final()
        expect(challenge.status == 401 and "pbx.example" in challenge.first("www-authenticate"),
               "the registrar's own challenge arrives")
        sip.again(client, sent, [sip.digest(challenge, "REGISTER", uri, user, "secret")])
        asked = self.agent.expect("REGISTER")
        expect("response=" in asked.first("authorization"), "credentials pass through")
        contact = asked.first("contact")
        self.respond(asked, 200, "OK", [("Contact", f"{contact};expires={expires}")])
        expect(client.final().status == 200, "registered")
        self.bindings[user] = (asked.contact_uri(), asked.all("path"))
        return asked


def upstream_edge(scratch):
    edge = Edge(scratch, {
        "sip": {"upstream": f"sip:{network.INSIDE.v4}:{PORT}", "emergency_numbers": []},
        "sip.servers.pbx": None, "sip.route.internal": None})
    return edge, Registrar(edge)


def invite(client, user, number="6001"):
    return sip.request(client, "INVITE", f"sip:{number}@{DOMAIN}", f"sip:{user}@{DOMAIN}",
                       user=user, body=outside_sdp())


@case.case
def a_registration_passes_with_its_path(scratch):
    edge, registrar = upstream_edge(scratch)
    asked = registrar.register(edge.connect(), "alice")
    paths = asked.all("path")
    expect(paths and edges.INSIDE in paths[0], f"the way back begins inside: {paths}")
    expect("received=" in "".join(paths), paths)


@case.case
def only_what_is_registered_here_may_call(scratch):
    edge, registrar = upstream_edge(scratch)
    alice, stranger = edge.connect(), edge.connect()
    invite(alice, "alice")
    expect(alice.final().status == 403 and not edge.ng.commands, "not yet registered: no call")
    registrar.register(alice, "alice")
    invite(stranger, "alice")
    expect(stranger.final().status == 403, "another connection has not registered")
    invite(alice, "bob")
    expect(alice.final().status == 403, "alice is not bob")
    expect(not edge.ng.commands, "no port for any of them")

    sent = invite(alice, "alice")
    asked = registrar.agent.expect("INVITE")
    expect(len(edge.ng.of("offer")) == 1, "one offer")
    registrar.respond(asked, 407, "Proxy Authentication Required",
                      [("Proxy-Authenticate", CHALLENGE)])
    challenge = alice.final(method="INVITE")
    expect(challenge.status == 407, "the inside server's own challenge arrives")
    case.eventually(lambda: edge.ng.of("delete"), "its ports are given back")
    sip.acknowledge(alice, sent, challenge)
    again = sip.again(alice, sent, [sip.digest(challenge, "INVITE", sent.uri, "alice", "secret")])
    asked = registrar.agent.expect("INVITE")
    expect(asked.first("proxy-authorization"), "credentials pass through")
    registrar.respond(asked, 200, "OK", [("Contact", registrar.agent.contact("6001"))],
                      inside_sdp())
    answer = alice.final(method="INVITE")
    expect(answer.status == 200 and "RTP/SAVP" in answer.body, answer.start)
    caller = edges.caller_side(alice, "alice", again, answer)
    caller.request("ACK", cseq=caller.cseq)
    registrar.agent.expect("ACK")
    caller.request("BYE")
    registrar.respond(registrar.agent.expect("BYE"), 200, "OK")
    expect(alice.final(method="BYE").status == 200, "hang-up")


@case.case
def who_leaves_may_not_call_any_more(scratch):
    edge, registrar = upstream_edge(scratch)
    alice = edge.connect()
    registrar.register(alice, "alice")
    registrar.register(alice, "alice", 0)
    invite(alice, "alice")
    expect(alice.final(method="INVITE").status == 403 and not edge.ng.commands, "gone")


@case.case
def a_refused_registration_allows_nothing(scratch):
    edge, registrar = upstream_edge(scratch)
    alice = edge.connect()
    sip.request(alice, "REGISTER", f"sip:{DOMAIN}", f"sip:alice@{DOMAIN}", f"sip:alice@{DOMAIN}",
                user="alice")
    registrar.respond(registrar.agent.expect("REGISTER"), 403, "Forbidden")
    expect(alice.final().status == 403, "refused")
    invite(alice, "alice")
    expect(alice.final(method="INVITE").status == 403 and not edge.ng.commands, "no call")


@case.case
def a_client_cannot_answer_its_own_requests(scratch):
    """How a request is named on its way inside can be computed by who sent it."""
    edge, registrar = upstream_edge(scratch)
    alice, desk = edge.connect(), edge.inside(5090)
    sip.request(alice, "REGISTER", f"sip:{DOMAIN}", f"sip:alice@{DOMAIN}", f"sip:alice@{DOMAIN}",
                user="alice")
    asked = registrar.agent.expect("REGISTER")
    alice.send(forged(asked, [("Contact", asked.first("contact") + ";expires=600")]))
    alice.final()
    invite(alice, "alice")
    expect(alice.final(method="INVITE").status == 403, "it called without the registrar's leave")
    expect(not edge.ng.commands, "no port")

    registrar.register(alice, "alice")
    sent = invite(alice, "alice")
    asked = registrar.agent.expect("INVITE")
    routes = [("Record-Route", route) for route in asked.all("record-route")]
    alice.send(forged(asked, [*routes, ("Contact", desk.contact("x"))], inside_sdp()))
    answer = alice.final(method="INVITE")
    expect(not edge.ng.of("answer"), "the relay was told where to send media inside")
    caller = edges.caller_side(alice, "alice", sent, answer)
    caller.request("INFO")
    answer = alice.final(method="INFO")
    expect(answer.status == 481, f"it reached a host inside: {answer.start}")


def forged(asked, extra, body=""):
    headers = [("Via", via) for via in asked.all("via")]
    headers += [("From", asked.first("from")), ("To", asked.first("to") + ";tag=forged"),
                ("Call-ID", asked.first("call-id")), ("CSeq", asked.first("cseq"))]
    return sip.build("SIP/2.0 200 OK", headers + extra, body)


@case.case
def the_inside_server_reaches_the_client_by_its_path(scratch):
    edge, registrar = upstream_edge(scratch)
    alice = edge.connect()
    alice.local = ("192.168.1.20", 5061)  # behind NAT: only the path leads to it
    registrar.register(alice, "alice")
    contact, paths = registrar.bindings["alice"]
    sent = sip.request(registrar.agent, "INVITE", contact, f"sip:6001@{DOMAIN}", user="6001",
                       body=inside_sdp(), extra=[("Route", path) for path in paths])
    asked = alice.expect("INVITE")
    offer = edge.ng.of("offer")[0]
    expect(offer["direction"] == ["inside", "outside"] and "a=crypto" in asked.body, offer)
    sip.reply(alice, asked, 200, "OK", "alice", outside_sdp(), to_tag="alice")
    answer = registrar.agent.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    caller = edges.caller_side(registrar.agent, "6001", sent, answer)
    caller.request("ACK", cseq=caller.cseq, to=edges.CLEAR)
    alice.expect("ACK")
    called = edges.called_side(alice, "alice", asked, "alice")
    called.request("BYE")
    sip.reply(registrar.agent, registrar.agent.expect("BYE"), 200, "OK")
    expect(alice.final(method="BYE").status == 200, "hang-up")


@case.case
def a_browser_is_reached_by_its_path(scratch):
    edge, registrar = upstream_edge(scratch)
    alice = edge.websocket()
    invite(alice, "alice")
    expect(alice.final().status == 403, "not yet registered: no call")
    registrar.register(alice, "alice")
    contact, paths = registrar.bindings["alice"]
    expect("transport%3Dws" in "".join(paths), paths)
    sent = sip.request(registrar.agent, "INVITE", contact, f"sip:6001@{DOMAIN}", user="6001",
                       body=inside_sdp(), extra=[("Route", path) for path in paths])
    asked = alice.expect("INVITE")
    offer = edge.ng.of("offer")[0]
    expect(offer["transport-protocol"] == "UDP/TLS/RTP/SAVPF" and offer["ICE"] == "force", offer)
    sip.reply(alice, asked, 200, "OK", "alice", edges.dtls_sdp(), to_tag="alice")
    answer = registrar.agent.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    caller = edges.caller_side(registrar.agent, "6001", sent, answer)
    caller.request("ACK", cseq=caller.cseq, to=edges.CLEAR)
    alice.expect("ACK")
    caller.request("BYE", to=edges.CLEAR)
    sip.reply(alice, alice.expect("BYE"), 200, "OK")
    expect(registrar.agent.final(method="BYE").status == 200, "hang-up")


@case.case
def an_upstream_that_is_silent_means_503_and_no_port(scratch):
    edge, registrar = upstream_edge(scratch)
    alice = edge.connect()
    registrar.register(alice, "alice")
    registrar.agent.close()
    case.eventually(lambda: "does not answer OPTIONS" in edge.log(), "the loss is noticed", 40)
    invite(alice, "alice")
    answer = alice.final(method="INVITE")
    expect(answer.status == 503 and re.match(r"\d+$", answer.first("retry-after")), answer.start)
    expect(not edge.ng.commands, "no port")


if __name__ == "__main__":
    case.run()
