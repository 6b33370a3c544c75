"""Who may call as whom across a traversal pair, and what an edge in other hands cannot do."""

# time limit: 200 s

import re

import edge as edges
import sip
from edge import case
from lib.case import eventually, expect
from sip_pair import Pair, established, hang_up, uri
from traversal import CORE_INSIDE, DOMAIN, EDGE_ZONE, NUMBER

FORGED = "0123456789abcdef01234567"


@case.case
def a_password_is_good_for_one_request_to_one_number(scratch):
    pair = Pair(scratch, core={"sip.route.all": {"pattern": "[0-9]+", "servers": "desk"}})
    desk = pair.desk()
    pair.client("alice")
    edge = pair.stream("edge")
    vouched = [("P-Turnpike-Client", f"{FORGED}/192.0.2.1/s")]

    def ask(number, more=(), user="alice"):
        """An INVITE of an edge in other hands, which has no password: (sent, answer)"""
        sent = sip.request(edge, "INVITE", uri(number), uri(user), user=user,
                           body=edges.outside_sdp(), extra=[*vouched, *more])
        answer = edge.expect(lambda m: m.status >= 180 and m.cseq_method == "INVITE")
        sip.acknowledge(edge, sent, answer)
        return sent, answer

    def challenge(number=NUMBER):
        answer = ask(number)[1]
        expect(answer.status == 407, answer.start)
        return answer

    def signed(number, by=None):
        """What alice's phone makes of a challenge when she calls `number`."""
        return sip.digest(by or challenge(), "INVITE", uri(number), "alice", pair.pair.password)

    def rings(header):
        sip.request(edge, "INVITE", uri(NUMBER), uri("alice"), user="alice",
                    body=edges.outside_sdp(), extra=[*vouched, *header])
        sip.reply(desk, desk.expect("INVITE"), 486, "Busy Here")
        expect(edge.final(method="INVITE").status == 486, "it rang")

    name, value = signed(NUMBER)
    expect(ask("00900", [(name, value)])[1].status == 400, "led to another number")
    answer = ask(NUMBER, [(name, value)])[1]
    expect(answer.status == 407 and "stale=true" in answer.first("proxy-authenticate"),
           f"used twice: {answer.start}")
    fresh = signed(NUMBER, answer)
    rings([fresh])
    for again in (fresh, (fresh[0], fresh[1].replace("nc=00000001", "nc=00000002"))):
        expect(ask(NUMBER, [again])[1].status == 407, "a call is repeated")
    # Credentials of other realms stand before or behind; they are not what was proved.
    foreign = (name, f'Digest username="bob", realm="pbx", nonce="n", uri="{uri("00900")}", '
               f'response="{"0" * 32}"')
    rings([foreign, signed(NUMBER)])
    own = (name, re.sub('response="[^"]*"', f'response="{"0" * 32}"', signed("00900")[1]))
    for headers, status in (([foreign, signed(NUMBER)], 400), ([signed(NUMBER), own], 400),
                            ([own, signed(NUMBER)], 407)):
        answer = ask("00900", headers)[1]
        expect(answer.status == status, f"led to another number: {answer.start}")
    spelled = sip.digest(challenge(), "INVITE", f"sip:{NUMBER}@{DOMAIN.upper()};user=phone",
                         "alice", pair.pair.password)
    rings([spelled])
    asked = [message for message in desk.received if message.method == "INVITE"]
    expect(not asked, "another number rang")
    # A phone that registers again with what it knows is asked once more, and its user is not.
    phone = pair.connect()
    sent = sip.request(phone, "REGISTER", f"sip:{DOMAIN}", uri("alice"), uri("alice"))
    header = sip.digest(phone.final(), "REGISTER", f"sip:{DOMAIN}", "alice", pair.pair.password)
    sent = sip.again(phone, sent, [header])
    expect(phone.final().status == 200, "registered")
    sip.again(phone, sent, [])
    answer = phone.final()
    expect(answer.status == 401 and "stale=true" in answer.first("www-authenticate"), answer.start)
    again = sip.digest(answer, "REGISTER", f"sip:{DOMAIN}", "alice", pair.pair.password)
    sent.headers = [header for header in sent.headers if header[0] != "authorization"]
    sip.again(phone, sent, [again])
    expect(phone.final().status == 200, "registered again")


@case.case
def who_calls_is_who_proved_to_be_it(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    sent = sip.request(alice, "INVITE", uri(NUMBER), uri("alice"), user="alice",
                       body=edges.outside_sdp())
    challenge = alice.final(method="INVITE")
    sip.acknowledge(alice, sent, challenge)
    header = sip.digest(challenge, "INVITE", uri(NUMBER), "alice", pair.pair.password)
    foreign = (header[0], f'Digest username="bob", realm="pbx", nonce="n", uri="{uri(NUMBER)}", '
               f'response="{"0" * 32}"')
    sip.again(alice, sent, [foreign, header])
    asked = desk.expect("INVITE")
    expect(asked.all("p-asserted-identity") == [f"<{uri('alice')}>"],
           f"said to be {asked.all('p-asserted-identity')}")
    sip.reply(desk, asked, 486, "Busy Here")
    expect(alice.final(method="INVITE").status == 486, "the answer comes back")


EMERGENCY = {"sip": {"emergency_numbers": ["112"]}}


@case.case
def an_emergency_call_gets_ports_when_the_password_was_right(scratch):
    pair = Pair(scratch, edge=EMERGENCY, core={
        "sip": {"emergency_numbers": ["112"], "emergency_servers": "desk"}})
    desk, stranger = pair.desk(), pair.connect()

    def call(password):
        """Final answers to a call without credentials, with them; what was sent last."""
        sent = sip.request(stranger, "INVITE", uri("112"), uri("alice"), user="alice",
                           body=edges.outside_sdp())
        challenge = stranger.final(method="INVITE")
        sip.acknowledge(stranger, sent, challenge)
        expect(challenge.status == 407 and not pair.of("edge", "offer"), challenge.start)
        header = sip.digest(challenge, "INVITE", uri("112"), "alice", password)
        return sip.again(stranger, sent, [header])

    sent = call("wrong")
    answer = stranger.final(method="INVITE")
    expect(answer.status == 407, answer.start)
    sip.acknowledge(stranger, sent, answer)
    expect(not pair.of("edge", "offer") and not pair.of("core", "offer"),
           "ports for who does not know the password")
    sent = call(pair.pair.password)
    asked = desk.expect("INVITE")
    expect(not asked.first("proxy-authorization")
           and asked.all("p-asserted-identity") == [f"<{uri('alice')}>"], str(asked.headers))
    offer, = pair.offers("edge")
    expect(offer["direction"] == ["outside", "dmz/core-1"], offer)
    expect(len(pair.of("core", "offer")) == 1, "the core gave ports once")
    sip.reply(desk, asked, 200, "OK", "112", edges.inside_sdp(), to_tag="desk")
    answer = stranger.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    caller = edges.caller_side(stranger, "alice", sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    desk.expect("ACK")
    hang_up(caller, desk)
    for role in ("edge", "core"):
        eventually(lambda: not pair.offers(role), f"the {role} gives its ports back")
    # Not a way for anything else: a stranger writes to nobody.
    sip.request(stranger, "MESSAGE", uri("112"), uri("alice"), user="alice")
    expect(stranger.final(method="MESSAGE").status == 403, "a stranger's message passed")


@case.case
def nobody_outside_asserts_an_identity_within_a_call(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    caller, called = established(pair, alice, desk)
    claims = [(name, f"<{uri('boss')}>") for name in
              ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID")]
    extra = claims + [("Path", "<sip:10.30.0.10;lr>"),
                      ("Record-Route", "<sip:10.30.0.10:5099;lr>")]

    def clean(message):
        text = str(message.headers)
        return "boss" not in text and "5099" not in text and not message.first("path")

    for method in ("INFO", "REFER"):
        caller.request(method, extra=extra)
        asked = desk.expect(method)
        expect(clean(asked), f"{method}: {asked.headers}")
        sip.reply(desk, asked, 200, "OK")
        alice.final(method=method)
    # An edge in other hands sends what a client cannot.
    edge = pair.stream("edge")
    caller.agent = edge
    pass_of_core = [route for route in caller.routes if "7201" in route or "127.0.0" in route]
    expect(pass_of_core, f"the core is in the route set: {caller.routes}")
    routes, caller.routes = caller.routes, pass_of_core[-1:]
    caller.request("INFO", extra=claims)
    asked = desk.expect("INFO")
    expect(clean(asked), f"from the edge itself: {asked.headers}")
    sip.reply(desk, asked, 200, "OK")
    edge.final(method="INFO")
    caller.agent, caller.routes = alice, routes
    # What answers say is a claim too; that of the inside reaches the client.
    called.request("INFO", extra=claims[:1])
    asked = alice.expect("INFO")
    expect(asked.first("p-asserted-identity"), "of the inside")
    _answer(alice, asked, 200, "OK", claims)
    answer = desk.final(method="INFO")
    expect(answer.status == 200 and clean(answer), str(answer.headers))
    hang_up(called, alice)


@case.case
def a_call_stays_with_its_peer_when_others_are_added(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    caller, _ = established(pair, alice, desk)
    # Before the peer of this call in the order of names.
    for node, zone in ((pair.edge, "core-0"), (pair.core, "edge-0")):
        node.sidecar_config_path.write_text(node.sidecar_config_path.read_text() + f"""
[zone.dmz.peer.{zone}]
tls_name = "{zone}.{DOMAIN}"
sip_listen = "127.0.0.9:7101"
sip_target = "127.0.0.9:7201"
""" + (f'address = "{EDGE_ZONE}:7009"\n' if node is pair.core else ""))
        node.kill_kamailio()
        node.start_kamailio()
    eventually(pair.edge_sees_core, "the edge's SIP server reaches the core", 20)
    alice = caller.agent = pair.connect()
    again = caller.request("INVITE", edges.outside_sdp(direction="sendonly"))
    sip.reply(desk, desk.expect("INVITE"), 200, "OK", NUMBER, edges.inside_sdp())
    expect(alice.final(method="INVITE").status == 200, "held after the change")
    caller.request("ACK", cseq=int(again.first("cseq").split()[0]))
    desk.expect("ACK")
    expect(pair.of("edge", "offer")[-1]["direction"] == ["outside", "dmz/core-1"]
           and pair.of("core", "offer")[-1]["direction"] == ["dmz/edge-1", "inside"],
           "between the same peers")
    hang_up(caller, desk)


CHALLENGE = 'Digest realm="pbx.example", nonce="n1", algorithm=MD5, qop="auth"'


def _upstream_pair(scratch):
    """(pair, the registrar behind its core)"""
    pair = Pair(scratch, core={"sip": {"upstream": "sip:10.30.0.10:5080"}})
    registrar = sip.Agent(pair.place("inside"), 5080, "udp")
    scratch.on_exit(registrar.close)
    registrar.connect((CORE_INSIDE, 5060))
    registrar.answers_options = True
    return pair, registrar


def _register_upstream(registrar, client, expires=600, granted="", extra=()):
    """The REGISTER of alice as it arrived at the registrar, which accepted it."""
    sent = sip.request(client, "REGISTER", f"sip:{DOMAIN}", uri("alice"), uri("alice"),
                       user="alice", extra=[("Expires", str(expires)), *extra])
    asked = registrar.expect("REGISTER")
    expect(not asked.first("p-turnpike-client"), "what edge and core tell each other stays there")
    _answer(registrar, asked, 401, "Unauthorized", [("WWW-Authenticate", CHALLENGE)])
    challenge = client.final(method="REGISTER")
    sip.again(client, sent, [sip.digest(challenge, "REGISTER", f"sip:{DOMAIN}", "alice", "x")])
    asked = registrar.expect("REGISTER")
    contact = asked.first("contact")
    _answer(registrar, asked, 200, "OK", [("Contact", "<sip:alice@192.0.2.7>;expires=3000, "
                                           f"{contact};expires={granted or expires}")]
            if expires else [])
    expect(client.final(method="REGISTER").status == 200, "registered")
    return asked


def _answer(agent, asked, status, reason, extra=()):
    headers = [("Via", via) for via in asked.all("via")]
    headers += [("From", asked.first("from")), ("To", asked.first("to") + ";tag=pbx"),
                ("Call-ID", asked.first("call-id")), ("CSeq", asked.first("cseq"))]
    agent.send(sip.build(f"SIP/2.0 {status} {reason}", headers + list(extra)), asked.source)


@case.case
def a_registrar_behind_the_core_reaches_the_client(scratch):
    pair, registrar = _upstream_pair(scratch)
    alice = pair.connect()
    asked = _register_upstream(registrar, alice)
    paths = asked.all("path")
    expect(len(paths) == 2 and CORE_INSIDE in paths[0] and "@edge.invalid" in paths[1], paths)

    sip.request(registrar, "INVITE", asked.contact_uri(), uri("6001"), user="6001",
                body=edges.inside_sdp(), extra=[("Route", path) for path in paths])
    called = alice.expect("INVITE")
    offer, = pair.of("core", "offer")
    expect(offer["direction"] == ["inside", "dmz/edge-1"], offer)
    sip.reply(alice, called, 486, "Busy Here")
    expect(registrar.final(method="INVITE").status == 486, "the answer comes back")

    sent = sip.request(alice, "INVITE", uri("6001"), uri("alice"), user="alice",
                       body=edges.outside_sdp())
    asked = registrar.expect("INVITE")
    expect(asked.first("p-asserted-identity") == f"<{uri('alice')}>", "the core says who it is")
    _answer(registrar, asked, 404, "Not Found")
    answer = alice.final(method="INVITE")
    expect(answer.status == 404, "the registrar's own answer")
    sip.acknowledge(alice, sent, answer)


@case.case
def a_core_does_not_take_its_edges_word_for_who_calls(scratch):
    pair, registrar = _upstream_pair(scratch)
    edge = pair.stream("edge")
    vouched = [("P-Turnpike-Client", f"{FORGED}/192.0.2.1/s")]

    def calls(method="INVITE", user="alice", said=vouched):
        """The status of a new request that an edge in other hands makes up."""
        sent = sip.request(edge, method, uri("6001"), uri(user), user=user, extra=said,
                           body=edges.outside_sdp() if method == "INVITE" else "")
        def settled():
            """The answer; the registrar's is 404."""
            edge._read(0.02)
            registrar._read(0.02)
            for asked in [one for one in registrar.received if one.method == method]:
                registrar.received.remove(asked)
                _answer(registrar, asked, 404, "Not Found")
            return [one for one in edge.received if one.status >= 200]
        answer, = eventually(settled, "an answer", 10, 0)
        edge.received.clear()
        if method == "INVITE":
            sip.acknowledge(edge, sent, answer)
        return answer.status

    for method in ("INVITE", "MESSAGE", "OPTIONS"):
        for said in (vouched, [("P-Turnpike-Client", "-/192.0.2.1/s")], []):
            expect(calls(method, said=said) == 403, f"{method} {said} of nobody passed")
    expect(not pair.of("core", "offer"), "it got ports")
    # What only the registrar may say.
    sip.request(edge, "REGISTER", f"sip:{DOMAIN}", uri("alice"), uri("alice"), user="alice",
                extra=vouched)
    asked = registrar.expect("REGISTER")
    _answer(edge, asked, 200, "OK", [("Contact", asked.first("contact") + ";expires=600")])
    expect(edge.final().status == 200 and calls() == 403, "it answered for the registrar")
    # What the registrar has accepted over this edge, for as long, may call; nobody else.
    _register_upstream(registrar, edge, extra=vouched)
    expect(calls() == 404, "a registered user is refused")
    expect(calls(user="bob") == 403, "in another user's name")
    other = [("P-Turnpike-Client", f"{FORGED[::-1]}/192.0.2.1/s")]
    expect(calls(said=other) == 403, "over a way that has not registered")
    _register_upstream(registrar, edge, expires=0, extra=vouched)
    expect(calls() == 403, "after it has left")
    _register_upstream(registrar, edge, granted="1", extra=vouched)
    expect(calls() == 404, "for as long as the registrar says")
    eventually(lambda: calls() == 403, "and no longer", 5, 0.5)


if __name__ == "__main__":
    case.run()
