"""Who may call whom: everything that must be refused, and that no port is asked for before."""

# time limit: 400 s

import re
import subprocess

import edge as edges
import sip
from edge import CLEAR, DOMAIN, MTLS, Edge, case, inside_sdp, network, outside_sdp
from lib.case import expect


def refused(edge, agent, status, **message):
    """Sends a request that must be refused with `status` before the relay hears of it."""
    sip.request(agent, **message)
    answer = agent.final()
    expect(answer.status == status, f"{message}: {answer.start} instead of {status}")
    expect(not edge.ng.commands, f"the relay was asked: {edge.ng.commands}")
    return answer


def call(uri=f"sip:6001@{DOMAIN}", from_uri=f"sip:alice@{DOMAIN}", body=None, **more):
    return {"method": "INVITE", "uri": uri, "from_uri": from_uri,
            "body": outside_sdp() if body is None else body, **more}


@case.case
def strangers_on_the_client_port_get_nowhere(scratch):
    edge = Edge(scratch)
    pbx = edge.inside_server()
    with edge.connect() as stranger:
        challenge = refused(edge, stranger, 407, **call())
        expect(challenge.first("proxy-authenticate").startswith("Digest"), challenge.headers)
        refused(edge, stranger, 403, **call(from_uri="sip:jane@hacker.example"))
        refused(edge, stranger, 403, **call(from_uri=f"sip:100@{edges.OUTSIDE}"))
        refused(edge, stranger, 403, **call("sip:0044123456@hacker.example",
                                            "sip:100@hacker.example"))
        refused(edge, stranger, 405, method="SUBSCRIBE", uri=f"sip:6001@{DOMAIN}",
                from_uri=f"sip:alice@{DOMAIN}")
        refused(edge, stranger, 403, method="REGISTER", uri="sip:hacker.example",
                from_uri="sip:a@hacker.example", to_uri="sip:a@hacker.example")
        refused(edge, stranger, 403, method="OPTIONS", uri="sip:hacker.example",
                from_uri="sip:a@hacker.example")
        answer = refused(edge, stranger, 200, method="OPTIONS", uri=f"sip:{DOMAIN}",
                         from_uri="sip:probe@anywhere.example")
        expect(not answer.first("server"), "no version is told")
    expect(not [m for m in pbx.received if m.method != "OPTIONS"], "nothing reached the inside")
    expect(edge.counter("refused_identity") >= 4, "refusals are counted by reason")


@case.case
def wrong_password_and_unknown_user_look_alike(scratch):
    edge = Edge(scratch)
    answers = []
    with edge.connect() as agent:
        for user in ("alice", "nobody"):
            answer = edges.register(agent, user, "guessed")
            answers.append((answer.status, sorted(name for name, _ in answer.headers)))
    expect(answers[0] == answers[1] and answers[0][0] == 401, answers)
    expect(edge.counter("refused_digest") == 2, "both are counted")
    expect("guessed" not in edge.log(), "no password in the log")
    with edge.connect() as agent:
        expect(edges.register(agent, "alice", edges.PASSWORDS["alice"]).status == 200, "alice")
        sent = sip.request(agent, "INVITE", f"sip:6001@{DOMAIN}", f"sip:alice@{DOMAIN}",
                           body=outside_sdp())
        challenge = agent.final()
        header = sip.digest(challenge, "INVITE", sent.uri, "alice", "wrong")
        sip.again(agent, sent, [header])
        expect(agent.final().status == 407, "registered, but no call with a wrong password")
    expect(not edge.ng.commands, "no port")


@case.case
def guessing_is_stopped(scratch):
    edge = Edge(scratch)
    with edge.connect() as agent:
        statuses = [edges.register(agent, "alice", f"guess {i}").status for i in range(13)]
        expect(statuses[:10] == [401] * 10 and statuses[12] == 403, statuses)
        expect(edges.register(agent, "bob", edges.PASSWORDS["bob"]).status == 200,
               "others at the same address are not locked out")


@case.case
def a_client_cannot_be_someone_else(scratch):
    edge = Edge(scratch)
    edge.inside_server()
    alice = edge.client("alice")
    uri = f"sip:6001@{DOMAIN}"

    def attempt(status, user_in_from, extra=(), signed=uri, before=()):
        sent = sip.request(alice, "INVITE", uri, f"sip:{user_in_from}@{DOMAIN}",
                           body=outside_sdp(), extra=list(extra))
        challenge = alice.final(method="INVITE")
        sip.acknowledge(alice, sent, challenge)
        header = sip.digest(challenge, "INVITE", signed, "alice", edges.PASSWORDS["alice"])
        again = sip.again(alice, sent, [*before, header])
        answer = alice.final(method="INVITE")
        sip.acknowledge(alice, again, answer)
        expect(answer.status == status, f"{user_in_from} {extra}: {answer.start}")

    attempt(407, "bob")
    attempt(407, "bob", before=[("Proxy-Authorization", 'Digest username="bob", realm="pbx", '
                                 f'nonce="n", uri="{uri}", response="{"0" * 32}"')])
    attempt(400, "alice", signed=f"sip:6002@{DOMAIN}")
    for header in ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"):
        attempt(403, "alice", [(header, "<sip:jane@example.com>")])
        attempt(403, "alice", [(header, f"<sip:boss@{DOMAIN}>")])
    expect(not edge.ng.commands, edge.ng.commands)
    sent = sip.request(alice, "REGISTER", f"sip:{DOMAIN}", f"sip:alice@{DOMAIN}",
                       f"sip:bob@{DOMAIN}", user="alice")
    expect(alice.final().status == 403, f"{sent.start} for someone else")


@case.case
def the_spoof_story(scratch):
    """hacker.com has a good certificate of its own and claims to be jane of example.com."""
    edge = Edge(scratch, {
        "sip.peer.hacker": {"domains": ["hacker.com"], "certificate_names": ["sip.hacker.com"]},
        "sip.peer.victim": {"domains": ["example.com"], "certificate_names": ["sip.example.com"]},
    })
    pbx = edge.inside_server()
    with edge.connect(MTLS, "peer-hacker") as hacker:
        refused(edge, hacker, 403, **call(from_uri="sip:jane@example.com"))
        for claim in ("<sip:jane@example.com>", "<sip:j@hacker.com>, <sip:jane@example.com>",
                      "<tel:+15551234>", "nonsense"):
            refused(edge, hacker, 403, **call(from_uri="sip:joe@hacker.com",
                                              extra=[("P-Asserted-Identity", claim)]))
        refused(edge, hacker, 403, **call(
            from_uri="sip:joe@hacker.com",
            extra=[("P-Asserted-Identity", "<sip:j@hacker.com>"),
                   ("P-Asserted-Identity", "<sip:jane@example.com>")]))
        refused(edge, hacker, 403, **call(from_uri="sip:anonymous@anonymous.invalid"))
        refused(edge, hacker, 403, **call(from_uri=f"sip:alice@{DOMAIN}"))
        refused(edge, hacker, 403, **call("sip:jane@example.com", "sip:joe@hacker.com"))
        refused(edge, hacker, 403, method="REGISTER", uri=f"sip:{DOMAIN}",
                from_uri=f"sip:alice@{DOMAIN}", to_uri=f"sip:alice@{DOMAIN}")
        # As itself it may call, hidden or not.
        sip.request(hacker, **call(from_uri="sip:joe@hacker.com"))
        asked = pbx.expect("INVITE")
        expect(asked.all("p-asserted-identity") == ["<sip:joe@hacker.com>"], asked.headers)
        sip.reply(pbx, asked, 486, "Busy Here")
        hacker.final(method="INVITE")
        sip.request(hacker, **call(from_uri="sip:anonymous@anonymous.invalid",
                                   extra=[("P-Asserted-Identity", "<sip:joe@hacker.com>")]))
        asked = pbx.expect("INVITE")
        expect(asked.all("p-asserted-identity") == ["<sip:joe@hacker.com>"], asked.headers)


@case.case
def what_no_route_matches_is_not_called(scratch):
    """Toll fraud: only what the site listed leaves it, whoever asks."""
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    for number in ("0044900123456", "+44900123456", "60011", "16001x", "011", "*21*0044#", "",
                   "6001;phone-context=+1", "%36%30%30%31", "6001 ", "600"):
        uri = f"sip:{number}@{DOMAIN}" if number else f"sip:{DOMAIN}"
        if " " in uri:
            continue
        sent = sip.request(alice, "INVITE", uri, f"sip:alice@{DOMAIN}", body=outside_sdp())
        answer = alice.final(method="INVITE")
        if answer.status == 407:
            sip.acknowledge(alice, sent, answer)
            sent = sip.again(alice, sent, [sip.digest(
                answer, "INVITE", uri, "alice", edges.PASSWORDS["alice"])])
            answer = alice.final(method="INVITE")
        sip.acknowledge(alice, sent, answer)
        if number.startswith("6001;"):
            continue  # a parameter of the user part is part of no pattern either way
        expect(answer.status == 403, f"{uri}: {answer.start}")
        expect(not edge.ng.commands, f"{uri}: {edge.ng.commands}")
    for uri in ("sip:6001@elsewhere.example", f"sip:6001@{network.INSIDE.v4}",
                f"sip:6001@{network.INSIDE.v4}:5070"):
        edges.invite(alice, "alice", uri, outside_sdp())
        expect(alice.final(method="INVITE").status == 403, uri)
    expect(not edge.ng.commands and not [m for m in pbx.received if m.method == "INVITE"],
           "nothing left")


@case.case
def emergency_calls_pass_policy_and_limits(scratch):
    edge = Edge(scratch, {"sip": {"calls_per_minute_max": 1}})
    pbx, alice = edge.inside_server(), edge.client("alice")
    for expected in (486, 503):
        edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
        if expected == 486:
            sip.reply(pbx, pbx.expect("INVITE"), 486, "Busy Here")
        expect(alice.final(method="INVITE").status == expected, f"call limit: {expected}")
    edges.invite(alice, "alice", f"sip:112@{DOMAIN}", outside_sdp())
    expect("sip:112@" in pbx.expect("INVITE").uri, "the emergency call arrives")
    # The same number at a peer's domain is no emergency number.
    edges.invite(alice, "alice", "sip:112@partner.example", outside_sdp())
    expect(alice.final(method="INVITE").status == 503, "a way around the limit")
    with edge.connect() as stranger:
        sip.request(stranger, **call(f"sip:112@{DOMAIN}"))
        expect(stranger.final().status == 407, "but not from strangers")
        edges.invite(stranger, "alice", "sip:112@partner.example", outside_sdp())
        expect(stranger.final(method="INVITE").status == 403, "nor without registration")


@case.case
def a_peer_has_a_limit_of_calls_too(scratch):
    edge = Edge(scratch, {"sip": {"peer_calls_per_minute_max": 1}},
                before=lambda certificates: certificates.make(
                    "partner", "DNS:sip.partner.example"))
    pbx = edge.inside_server()
    with edge.connect(MTLS, "partner") as peer:
        # Another name of the same peer does not help.
        for name, expected in (("joe", 486), ("jim", 503)):
            sip.request(peer, **call(from_uri=f"sip:{name}@partner.example"))
            if expected == 486:
                sip.reply(pbx, pbx.expect("INVITE"), 486, "Busy Here")
            answer = peer.final(method="INVITE")
            expect(answer.status == expected, f"{name}: {answer.start}")
        expect(answer.first("retry-after") == "60", answer.headers)
        # Nobody asks a peer for a password, so it has no exemption.
        refuse = {"from_uri": "sip:joe@partner.example"}
        sip.request(peer, **call(f"sip:112@{DOMAIN}", **refuse))
        expect(peer.final(method="INVITE").status == 503, "an emergency call beyond the limit")
        for expected in (480, 503):
            sip.request(peer, "MESSAGE", f"sip:alice@{DOMAIN}", "sip:joe@partner.example")
            expect(peer.final(method="MESSAGE").status == expected, f"message: {expected}")
    expect(len(edge.ng.of("offer")) == 1, "no ports for the second")


@case.case
def media_outside_is_encrypted_or_there_is_no_call(scratch):
    edge = Edge(scratch)
    edge.inside_server()
    alice = edge.client("alice")
    clear = sip.sdp(network.OUTSIDE.v4, 40000, "RTP/AVP")
    secure = outside_sdp()
    suites = secure.replace("AES_CM_128_HMAC_SHA1_80", "NULL_HMAC_SHA1_80")
    for body in (clear, clear.replace("AVP", "AVPF"), sip.sdp("192.0.2.1", 4, "RTP/SAVP", False),
                 suites, secure + "m=video 40002 RTP/AVP 96\r\n",
                 secure + "m=image 40004 udptl t38\r\n",
                 secure + "m=application 40006 TCP/BFCP *\r\n",
                 secure + "m=audio 40008/2 RTP/AVP 0\r\n",
                 secure + "m=audio 0040008 RTP/AVP 0\r\n",
                 secure + "m=audio\t40008\tRTP/AVP 0\r\n",
                 secure + "m=audio 04000 RTP/AVP 0\r\n",
                 secure + "m=x-y 4000 RTP/AVP 0\r\n",
                 secure + "m=audio\t4000 RTP/AVP 0\r\n",
                 secure + "m=audio 00 RTP/AVP 0\r\n",
                 secure + "m=audio +4000 RTP/AVP 0\r\n",
                 secure + "m=audio  4000 RTP/AVP 0\r\n",
                 secure + "m=audio 4000 RTP/SAVPX 0\r\n",
                 secure + " m=audio 4000 RTP/AVP 0\r\n",
                 secure + "M=audio 4000 RTP/AVP 0\r\n",
                 secure + "a=x\rm=audio 4000 RTP/AVP 0\r\n",
                 secure + "m=audio 4000 RTP/AVP 0",
                 secure + "m=\r\n",
                 secure + "a=x\0\r\nm=audio 4000 RTP/AVP 0\r\n",
                 secure.replace("RTP/SAVP", "UDP/TLS/RTP/SAVP"),
                 secure.replace("RTP/SAVP", "rtp/avp")):
        edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", body)
        answer = alice.final(method="INVITE")
        expect(answer.status == 488, f"{answer.start} for {body}")
    expect(not edge.ng.commands, "the relay was not asked")
    expect(edge.counter("refused_media") == 25, "counted")


@case.case
def only_sdp_is_media(scratch):
    edge = Edge(scratch)
    edge.inside_server()
    alice = edge.client("alice")
    sent = sip.request(alice, "INVITE", f"sip:6001@{DOMAIN}", f"sip:alice@{DOMAIN}", body="x")
    data = sip.build(sent.start, [(n, v) for n, v in sent.headers if n not in
                                  ("content-length", "content-type", "via")] +
                     [("Via", alice.via())], "x").replace(
        b"application/sdp", b"multipart/mixed;boundary=x")
    alice.send(data)
    statuses = {alice.final().status, alice.final().status}
    expect(statuses == {407, 415}, statuses)


@case.case
def a_relay_without_room_means_503(scratch):
    edge = Edge(scratch)
    edge.inside_server()
    alice = edge.client("alice")
    edge.ng.refuse_delete = True
    for refusal in ({"result": "load limit", "message": "calls"},
                    {"result": "error", "error-reason": "Ran out of ports"}):
        edge.ng.refusal = refusal
        edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
        answer = alice.final(method="INVITE")
        expect(answer.status == 503 and answer.first("retry-after") == "10", answer.start)
    expect(edge.counter("refused_relay") == 2, "counted")


@case.case
def sdp_that_the_relay_refuses_means_488(scratch):
    edge = Edge(scratch)
    edge.inside_server()
    alice = edge.client("alice")
    edge.ng.refusal = {"result": "error", "error-reason": "suite is not supported"}
    edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    answer = alice.final(method="INVITE")
    expect(answer.status == 488 and not answer.first("retry-after"), answer.start)
    expect(edge.counter("refused_media") == 1, "counted")


@case.case
def an_answer_that_the_relay_refuses_leaks_nothing(scratch):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    asked = pbx.expect("INVITE")
    edge.ng.refusal = {"result": "error", "error-reason": "Error rewriting SDP"}
    sip.reply(pbx, asked, 200, "OK", "6001", inside_sdp(), to_tag="pbx")
    answer = alice.final(method="INVITE")
    expect(answer.status == 200 and "m=" not in answer.body, answer.body)
    expect(network.INSIDE.v4 not in answer.body, answer.body)


@case.case
def a_forged_dialog_leads_nowhere(scratch):
    """A To tag and a route set do not make a request one of a call."""
    edge = Edge(scratch)
    pbx = edge.inside_server()
    target = f"sip:x@{network.INSIDE.v4}:{edges.PBX_PORT}"
    ours = [f"<sip:{edges.INSIDE};r2=on;lr;ftag=a>", f"<sip:{edges.OUTSIDE}:5061;transport=tls;lr>"]
    tokens = ["", "tp=o-i", "tp=o-i-", "tp=o-i-" + "0" * 40, "tp=i-i-" + "0" * 40, "tp=",
              "tp=o-o-x", f"tp=o-i-{'0' * 16}-{'0' * 40}"]
    with edge.connect() as stranger:
        for method in ("INVITE", "BYE", "INFO", "REFER", "MESSAGE", "NOTIFY"):
            for token in tokens:
                route = [("Route", uri.replace(";lr", f";lr;{token}" if token else ";lr"))
                         for uri in reversed(ours)]
                sip.request(stranger, method, target, "sip:a@b.example", to_uri=target, user="x",
                            body=outside_sdp() if method == "INVITE" else "", extra=route,
                            to_tag="y")
                answer = stranger.final()
                expect(answer.status == 481, f"{method} {token}: {answer.start}")
            sip.request(stranger, method, target, "sip:a@b.example", to_tag="y")
            expect(stranger.final().status == 481, f"{method} without a route")
        sip.request(stranger, "ACK", target, "sip:a@b.example", to_tag="y", extra=route)
    expect(not edge.ng.commands, edge.ng.commands)
    expect(not [m for m in pbx.received if m.method != "OPTIONS"], "nothing reached the inside")


@case.case
def a_party_of_a_call_cannot_aim_it_elsewhere(scratch):
    """The signature is good, the target is not one of the call."""
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")
    victim = edge.inside(6379)
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    asked = pbx.expect("INVITE")
    sip.reply(pbx, asked, 200, "OK", "6001", inside_sdp(), to_tag="pbx")
    answer = alice.final(method="INVITE")
    caller = edges.caller_side(alice, "alice", sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    pbx.expect("ACK")
    offers = len(edge.ng.of("offer"))
    good = caller.target
    for target in (f"sip:x@{network.INSIDE.v4}:6379", f"sip:x@{network.INSIDE.v4}",
                   f"sip:x@{network.INSIDE.v4}:6379;transport=tcp", f"sip:x@{network.STRANGER.v4}",
                   "sip:x@127.0.0.1:22;transport=tcp", f"sip:x@{edges.INSIDE}:5060",
                   f"sip:x@y;alias={network.INSIDE.v4}~6379~1"):
        caller.target = target
        caller.request("INVITE", outside_sdp())
        expect(alice.final(method="INVITE").status == 481, target)
    expect(len(edge.ng.of("offer")) == offers, "no offer for those")
    # By way of the edge itself, as a call's next pass goes, with what a party knows of its call.
    caller.target, routes = good, caller.routes
    own = [route for route in routes if edges.INSIDE in route][0]
    for over in (f"<sip:{edges.INSIDE};lr>",
                 f"<sip:{edges.INSIDE};lr;tp=o-i-{'0' * 16}-{'0' * 40}>", own,
                 own.replace("ftag=", "ftag=x"), own.replace("tp=o-i", "tp=i-o")):
        caller.routes = [*routes, over, f"<sip:{network.INSIDE.v4}:6379;lr>"]
        caller.request("INVITE", outside_sdp())
        expect(alice.final(method="INVITE").status == 481, over)
    caller.routes = routes
    stolen = edge.connect()
    caller.agent, caller.target = stolen, good
    caller.call_id = "another-call"
    caller.request("BYE")
    expect(stolen.final().status == 481, "the signature is of one call only")
    expect(not victim.received, "the third host heard nothing")


@case.case
def the_inside_is_its_networks_only(scratch):
    edge = Edge(scratch)
    alice, phone = edge.client("alice"), edge.inside()
    # A stranger who reaches the inside address, and a process of the edge's own host.
    strangers = [sip.Agent(network.STRANGER), sip.Agent(None, address=edges.INSIDE),
                 sip.Agent(network.STRANGER, 0, "tcp"), sip.Agent(network.STRANGER)]
    for count, agent in enumerate(strangers, 1):
        scratch.on_exit(agent.close)
        agent.connect(CLEAR)
        message = call(f"sip:alice@{DOMAIN}", f"sip:6001@{DOMAIN}", inside_sdp())
        if agent is strangers[-1]:
            message["method"] = "NO\"NSENSE"
        sip.request(agent, **message)
        case.eventually(lambda: edge.counter("refused_source") == count, "it is counted")
    expect(phone_gets_an_answer(phone), "the inside is served")
    # The edge's own address may speak within a call, if it can show that it is the edge.
    for routes in ([], [("Route", f"<sip:{edges.INSIDE};lr;tp=i-o-{'0' * 16}-{'0' * 40}>")]):
        local = strangers[1]
        sip.request(local, "BYE", f"sip:alice@{network.OUTSIDE.v4}:{alice.local[1]}",
                    f"sip:6001@{DOMAIN}", to_tag="alice", extra=routes)
        expect(local.final(method="BYE").status == 481, routes)
    for agent in strangers:
        try:
            expect(not agent._read(0) and not agent.received, f"{agent.local} got an answer")
        except ConnectionError:
            expect(agent.transport == "tcp", "closed")
    expect(not edge.ng.commands and not alice.received, "no call came of it")
    expect(edge.log().count("not of inside_networks") == 1, "said once")


def phone_gets_an_answer(phone):
    sip.request(phone, "OPTIONS", f"sip:{DOMAIN}", f"sip:6001@{DOMAIN}")
    return phone.final(method="OPTIONS").status == 200


@case.case
def the_packet_filter_knows_the_inside(scratch):
    """The generated rules, loaded: nobody else's packet reaches the SIP server at all."""
    edge = Edge(scratch, {"sip": {"run_user": "root", "relay_user": "root"}})
    rules = edge.directory / "nftables.conf"
    subprocess.run(["nft", "-f", str(rules)], check=True)
    # An address of the inside, but from where the stranger is.
    subprocess.run(network.STRANGER.command("ip", "addr", "add", "10.20.0.77/32", "dev", "lo"),
                   check=True)

    def dropped():
        text = subprocess.run(["nft", "list", "chain", "inet", "turnpike_local", "inside"],
                              capture_output=True, text=True, check=True).stdout
        return [int(count) for count in re.findall(r"counter packets (\d+)", text)]
    expect(dropped() == [0, 0], dropped())
    for address, counts in ((network.STRANGER.v4, [0, 1]), ("10.20.0.77", [1, 1])):
        agent = sip.Agent(network.STRANGER, address=address)
        scratch.on_exit(agent.close)
        agent.connect(CLEAR)
        sip.request(agent, "OPTIONS", f"sip:{DOMAIN}", f"sip:6001@{DOMAIN}")
        case.eventually(lambda: dropped() == counts, lambda: f"{address}: {dropped()}")
    expect(phone_gets_an_answer(edge.inside()), "the inside is served")
    expect(edge.client("alice"), "the outside is served")
    expect(edge.counter("refused_source") == 0, "nothing else reached the SIP server")


@case.case
def an_answer_that_nobody_waits_for_goes_nowhere(scratch):
    edge = Edge(scratch)
    victim, stranger = edge.inside(6379), edge.connect()
    for via in (f"SIP/2.0/UDP {network.INSIDE.v4}:6379;branch=z9hG4bKx",
                f"SIP/2.0/UDP {edges.INSIDE}:6379;received={network.INSIDE.v4};branch=z9hG4bKx"):
        stranger.send(sip.build("SIP/2.0 200 OK", [
            ("Via", f"SIP/2.0/TLS {edges.OUTSIDE}:5061;branch=z9hG4bKabcd.1"), ("Via", via),
            ("From", "<sip:a@x>;tag=a"), ("To", "<sip:b@x>;tag=b"), ("Call-ID", "x"),
            ("CSeq", "1 INVITE"), ("Contact", "<sip:b@x>")], outside_sdp()))
    sip.request(stranger, "OPTIONS", f"sip:{DOMAIN}", "sip:probe@anywhere.example")
    expect(stranger.final().status == 200, "both were read")
    expect(phone_gets_an_answer(victim) and not victim.received, "the third host heard nothing")


@case.case
def who_has_not_registered_here_may_not_call(scratch):
    """A right password is not enough, save in an emergency."""
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.client("alice")

    def attempt(agent, number="6001", method="INVITE"):
        uri = f"sip:{number}@{DOMAIN}"
        sent = sip.request(agent, method, uri, f"sip:alice@{DOMAIN}", user="alice",
                           body=outside_sdp() if method == "INVITE" else "")
        challenge = agent.final(method=method)
        expect(challenge.status == 407, challenge.start)
        sip.acknowledge(agent, sent, challenge)
        sip.again(agent, sent, [sip.digest(
            challenge, method, uri, "alice", edges.PASSWORDS["alice"])])

    other = edge.connect()
    for method in ("INVITE", "MESSAGE"):
        attempt(other, method=method)
        expect(other.final(method=method).status == 403, "registered on another connection")
    expect(not edge.ng.commands, "no port")
    attempt(other, "112")
    expect("sip:112@" in pbx.expect("INVITE").uri, "an emergency call needs the password only")

    attempt(alice)
    sip.reply(pbx, pbx.expect("INVITE"), 486, "Busy Here", to_tag="pbx")
    expect(alice.final(method="INVITE").status == 486, "alice may call")
    commands = len(edge.ng.commands)
    expect(edges.register(alice, "alice", edges.PASSWORDS["alice"], 0).status == 200, "she leaves")
    attempt(alice)
    expect(alice.final(method="INVITE").status == 403, "and may call no more")
    expect(len(edge.ng.commands) == commands, "no port")


@case.case
def nothing_listens_in_clear_outside(scratch):
    edge = Edge(scratch)
    import socket
    for port in (5060, 5061, 5062):
        agent = sip.Agent(network.OUTSIDE)
        agent.connect((edges.OUTSIDE, port))
        sip.request(agent, method="OPTIONS", uri=f"sip:{DOMAIN}", from_uri="sip:a@b.example")
        try:
            answer = agent.final(0.5)
        except (AssertionError, ConnectionError):
            answer = None
        expect(answer is None, f"UDP {port} answers")
        agent.close()
    tcp = sip.Agent(network.OUTSIDE, 0, "tcp")
    expect(tcp.socket.connect_ex((edges.OUTSIDE, 5060)) != 0, "TCP 5060 is closed")
    tcp.close()
    plain = sip.Agent(network.OUTSIDE, 0, "tcp").connect(edges.TLS)
    sip.request(plain, method="OPTIONS", uri=f"sip:{DOMAIN}", from_uri="sip:a@b.example")
    plain.socket.settimeout(10)
    data = plain.socket.recv(4096) if isinstance(plain.socket, socket.socket) else b""
    expect(not data.startswith(b"SIP"), data)
    plain.close()


@case.case
def a_flood_is_ignored_and_others_are_served(scratch):
    edge = Edge(scratch, {"sip": {"requests_per_second_max": 20}})
    flood = edge.connect()
    for _ in range(400):
        sip.request(flood, "OPTIONS", f"sip:{DOMAIN}", "sip:flood@anywhere.example")
    case.eventually(lambda: edge.counter("dropped_flood") > 100, "the flood is dropped")
    other = edge.connect(place=network.STRANGER)
    sip.request(other, "OPTIONS", f"sip:{DOMAIN}", "sip:probe@anywhere.example")
    expect(other.final().status == 200, "others are served")
    expect(edge.log().count("too many requests") == 1, "said once")


@case.case
def a_call_id_tells_the_relay_nothing(scratch):
    """It becomes a word among words for the relay: it must not become two."""
    edge = Edge(scratch)
    edge.inside_server()
    alice = edge.client("alice")
    for call_id in ("x RTP/AVP", "x direction=outside direction=outside", "x\tSDES-off",
                    "x\0 RTP/AVP", "x" * 600, "caf\xe9"):
        refused(edge, alice, 400, **call(call_id=call_id))
    expect(edge.counter("refused_malformed") == 6, "counted")
    odd = "~!%*_+`'.()<>:\\\"/[]?{}=,;|@x"
    edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp(), call_id=odd)
    case.eventually(lambda: edge.ng.of("offer"), "other signs are taken as they are")
    offer = edge.ng.of("offer")[0]
    expect(offer["call-id"].startswith(odd + ",") and len(offer["call-id"]) == len(odd) + 17, offer)
    expect(offer["transport-protocol"] == "RTP/AVP" and not offer.get("flags"), offer)


@case.case
def damaged_messages_change_nothing(scratch):
    edge = Edge(scratch)
    pbx = edge.inside_server()
    good = sip.build(f"INVITE sip:6001@{DOMAIN} SIP/2.0", [
        ("Via", "SIP/2.0/TLS 198.51.100.10:5061;branch=z9hG4bKx"), ("Max-Forwards", "70"),
        ("From", f"<sip:alice@{DOMAIN}>;tag=a"), ("To", f"<sip:6001@{DOMAIN}>"),
        ("Call-ID", "x"), ("CSeq", "1 INVITE"), ("Contact", "<sip:alice@198.51.100.10>")],
        outside_sdp())
    damaged = [
        good.replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE"), good.replace(b"Max-Forwards: 70",
                                                                      b"Max-Forwards: 0"),
        good.replace(b"From:", b"Fr\x00m:"), good.replace(b"Call-ID: x\r\n", b""),
        good.replace(b"SIP/2.0\r\n", b"SIP/9.9\r\n", 1), good.replace(b"sip:6001", b"sip:\xff\xfe"),
        good.replace(b"tag=a", b"tag=" + b"a" * 8000), good[:200] + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 3000, b"\r\n\r\n" * 50,
        good.replace(b"v=0", b"v=0\r\nX-More: " + b"y" * 20000)]
    for data in damaged:
        agent = edge.connect()
        agent.send(data)
        agent.close()
    with edge.connect() as agent:
        sip.request(agent, "OPTIONS", f"sip:{DOMAIN}", "sip:probe@anywhere.example")
        expect(agent.final().status == 200, "still serving")
    expect(edge.process.poll() is None and not edge.ng.commands, "nothing came of it")
    expect(not [m for m in pbx.received if m.method != "OPTIONS"], "nothing reached the inside")


@case.case
def tags_are_words(scratch):
    edge = Edge(scratch)
    with edge.connect() as stranger:
        for tag in ("x" * 129, '"a b"', "a\x01b"):
            refused(edge, stranger, 400, **call(from_tag=tag))
            refused(edge, stranger, 400, method="BYE", uri=f"sip:6001@{DOMAIN}",
                    from_uri=f"sip:alice@{DOMAIN}", to_tag=tag)
        refused(edge, stranger, 407, **call(from_tag="x" * 128))


if __name__ == "__main__":
    case.run()
