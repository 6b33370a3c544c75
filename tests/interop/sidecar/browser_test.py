"""Browsers: SIP over WebSocket through the generated sidecar, with a relay that only counts."""

# time limit: 300 s

import edge as edges
import sip
import ws
from edge import CLEAR, DOMAIN, ORIGIN, WSS, Edge, case, dtls_sdp, inside_sdp, network, outside_sdp
from lib.case import expect

BROWSER = {"transport-protocol": "UDP/TLS/RTP/SAVPF", "ICE": "force", "rtcp-mux": ["offer"]}
SDES = {"transport-protocol": "RTP/SAVP", "ICE": "remove", "rtcp-mux": ["demux"]}
INSIDE = {"transport-protocol": "RTP/AVP", "ICE": "remove", "rtcp-mux": ["demux"]}


def expect_flags(command, direction, flags, extra=()):
    """The relay was told exactly this of the receiver, and `extra` of the sender."""
    found = {key: command.get(key) for key in ("transport-protocol", "ICE", "rtcp-mux")}
    expect(found == flags, f"{found} instead of {flags}")
    expect(command["direction"] == direction, command["direction"])
    expect(command.get("flags", []) == list(extra), command.get("flags"))


def answered(edge, caller, called, asked, sent, body, to_user):
    """Answers `asked` with 200 and brings the ACK through; both sides of the dialog."""
    sip.reply(called, asked, 200, "OK", to_user, body, to_tag=to_user)
    answer = caller.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    to = CLEAR if caller.transport == "udp" else None
    user = sip.re.search(r"sip:(\w+)@", sent.first("from")).group(1)
    calling = edges.caller_side(caller, user, sent, answer)
    calling.request("ACK", cseq=calling.cseq, to=to)
    called.expect("ACK")
    return calling, edges.called_side(called, to_user, asked, to_user), answer


def reinvite(by, other, mine, theirs):
    """A re-INVITE with an answer; what arrived."""
    to = CLEAR if by.agent.transport == "udp" else None
    by.request("INVITE", mine, to=to)
    asked = other.agent.expect("INVITE")
    sip.reply(other.agent, asked, 200, "OK", other.user, theirs)
    expect(by.agent.final(method="INVITE").status == 200, "re-INVITE")
    by.request("ACK", cseq=by.cseq, to=to)
    other.agent.expect("ACK")
    return asked


def hang_up(by, other, edge):
    by.request("BYE", to=CLEAR if by.agent.transport == "udp" else None)
    sip.reply(other.agent, other.agent.expect("BYE"), 200, "OK")
    expect(by.agent.final(method="BYE").status == 200, "BYE is answered")
    case.eventually(lambda: len(edge.ng.of("delete")) == 1, "one delete")
    case.eventually(lambda: edge.remembered("hops") == 0, "nothing is remembered of the call")


@case.case
def a_browser_calls_inside(scratch):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.browser("alice")
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", dtls_sdp())
    asked = pbx.expect("INVITE")
    expect_flags(edge.ng.of("offer")[0], ["outside", "inside"], INSIDE)
    expect("RTP/AVP" in asked.body and edges.INSIDE in asked.body, asked.body)
    expect(any("transport=ws" in route for route in asked.all("record-route")),
           asked.all("record-route"))
    calling, called, answer = answered(edge, alice, pbx, asked, sent, inside_sdp(), "6001")
    expect(not {"ICE", "transport-protocol", "rtcp-mux"} & set(edge.ng.of("answer")[0]),
           edge.ng.of("answer"))
    expect("UDP/TLS/RTP/SAVPF" in answer.body, answer.body)
    reinvite(calling, called, dtls_sdp(direction="sendonly"), inside_sdp(direction="recvonly"))
    asked = reinvite(called, calling, inside_sdp(), dtls_sdp())
    expect("UDP/TLS/RTP/SAVPF" in asked.body, asked.body)
    offers = edge.ng.of("offer")
    expect_flags(offers[1], ["outside", "inside"], INSIDE)
    expect_flags(offers[2], ["inside", "outside"], BROWSER)
    hang_up(called, calling, edge)


@case.case
def a_browser_is_called_from_inside(scratch):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.browser("alice")
    sent = sip.request(pbx, "INVITE", f"sip:alice@{DOMAIN}", f"sip:6001@{DOMAIN}", user="6001",
                       body=inside_sdp())
    asked = alice.expect("INVITE")
    expect_flags(edge.ng.of("offer")[0], ["inside", "outside"], BROWSER)
    expect("UDP/TLS/RTP/SAVPF" in asked.body and "a=crypto" not in asked.body, asked.body)
    expect(alice.name in asked.uri, f"the browser is asked for by its own contact: {asked.uri}")
    calling, called, answer = answered(edge, pbx, alice, asked, sent, dtls_sdp(), "alice")
    expect("RTP/AVP" in answer.body, answer.body)
    reinvite(called, calling, dtls_sdp(direction="sendonly"), inside_sdp(direction="recvonly"))
    hang_up(calling, called, edge)


@case.case
def browser_and_softphone_call_each_other(scratch):
    edge = Edge(scratch)
    alice, bob = edge.browser("alice"), edge.client("bob")
    sent = edges.invite(alice, "alice", f"sip:bob@{DOMAIN}", dtls_sdp())
    asked = bob.expect("INVITE")
    expect_flags(edge.ng.of("offer")[0], ["outside", "outside"], SDES)
    calling, called, _ = answered(edge, alice, bob, asked, sent, outside_sdp(), "bob")
    reinvite(called, calling, outside_sdp(), dtls_sdp())
    expect_flags(edge.ng.of("offer")[1], ["outside", "outside"], BROWSER)
    hang_up(called, calling, edge)
    edge.ng.commands.clear()
    sent = edges.invite(bob, "bob", f"sip:alice@{DOMAIN}", outside_sdp())
    asked = alice.expect("INVITE")
    expect_flags(edge.ng.of("offer")[0], ["outside", "outside"], BROWSER)
    calling, called, _ = answered(edge, bob, alice, asked, sent, dtls_sdp(), "alice")
    hang_up(calling, called, edge)


@case.case
def browsers_call_each_other(scratch):
    edge = Edge(scratch)
    alice, bob = edge.browser("alice"), edge.browser("bob")
    sent = edges.invite(alice, "alice", f"sip:bob@{DOMAIN}", dtls_sdp())
    asked = bob.expect("INVITE")
    expect_flags(edge.ng.of("offer")[0], ["outside", "outside"], BROWSER)
    calling, called, _ = answered(edge, alice, bob, asked, sent, dtls_sdp(), "bob")
    hang_up(called, calling, edge)


@case.case
def an_offer_may_follow_in_the_answer_to_a_browser(scratch):
    edge = Edge(scratch)
    pbx, alice = edge.inside_server(), edge.browser("alice")
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", "")
    asked = pbx.expect("INVITE")
    sip.reply(pbx, asked, 200, "OK", "6001", inside_sdp(), to_tag="pbx")
    answer = alice.final(method="INVITE")
    expect_flags(edge.ng.of("offer")[0], ["inside", "outside"], BROWSER)
    caller = edges.caller_side(alice, "alice", sent, answer)
    caller.request("ACK", dtls_sdp(), cseq=caller.cseq)
    expect("RTP/AVP" in pbx.expect("ACK").body, "the answer arrives")


@case.case
def who_does_dtls_or_ice_over_tls_is_offered_it_again(scratch):
    """What a softphone has shown counts within the call and for its next one; not for others."""
    edge = Edge(scratch)
    pbx, alice, bob = edge.inside_server(), edge.client("alice"), edge.client("bob")
    for body, flags in (
            (dtls_sdp(ice=False, protocol="UDP/TLS/RTP/SAVP"),
             {"transport-protocol": "UDP/TLS/RTP/SAVP", "ICE": "remove", "rtcp-mux": ["offer"]}),
            (dtls_sdp(), BROWSER),
            (outside_sdp() + "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijklmn\r\n",
             SDES | {"ICE": "force"}),
            (outside_sdp().replace("SAVP", "SAVPF"), SDES | {"transport-protocol": "RTP/SAVPF"}),
            (outside_sdp(), SDES)):
        edge.ng.commands.clear()
        sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", body)
        asked = pbx.expect("INVITE")
        expect_flags(edge.ng.of("offer")[0], ["outside", "inside"], INSIDE)
        calling, called, _ = answered(edge, alice, pbx, asked, sent, inside_sdp(), "6001")
        reinvite(called, calling, inside_sdp(), body)
        expect_flags(edge.ng.of("offer")[1], ["inside", "outside"], flags)
        hang_up(called, calling, edge)
        for user, agent, expected in (("alice", alice, flags), ("bob", bob, SDES)):
            edge.ng.commands.clear()
            sent = sip.request(pbx, "INVITE", f"sip:{user}@{DOMAIN}", f"sip:6001@{DOMAIN}",
                               user="6001", body=inside_sdp())
            sip.reply(agent, agent.expect("INVITE"), 486, "Busy Here")
            answer = pbx.final(method="INVITE")
            expect(answer.status == 486, "busy")
            # Else it comes again, and is taken for the answer to what is asked next.
            sip.acknowledge(pbx, sent, answer)
            agent.expect("ACK")
            expect_flags(edge.ng.of("offer")[0], ["inside", "outside"], expected)
    expect(edge.remembered("media") == 1, "of the calls nothing, of the client what it did last")


@case.case
def a_client_may_tell_of_ice_when_it_registers(scratch):
    edge = Edge(scratch, {"sip": {"outside_media": "dtls"}})
    pbx, bob, alice = edge.inside_server(), edge.client("bob"), edge.connect()
    alice.contact = lambda user: f"{sip.Agent.contact(alice, user)};+sip.ice"
    expect(edges.register(alice, "alice", edges.PASSWORDS["alice"]).status == 200, "registers")
    for user, agent, ice in (("alice", alice, "force"), ("bob", bob, "remove")):
        edge.ng.commands.clear()
        sip.request(pbx, "INVITE", f"sip:{user}@{DOMAIN}", f"sip:6001@{DOMAIN}", user="6001",
                    body=inside_sdp())
        agent.expect("INVITE")
        expect_flags(edge.ng.of("offer")[0], ["inside", "outside"],
                     {"transport-protocol": "UDP/TLS/RTP/SAVP", "ICE": ice,
                      "rtcp-mux": ["offer"]})


@case.case
def the_address_of_an_ice_offer_is_believed_by_ice_alone(scratch):
    edge = Edge(scratch)
    edge.inside_server()
    alice = edge.client("alice")
    private = "192.168.1.20"
    for count, (body, extra) in enumerate((
            (dtls_sdp(address=private), []),
            (dtls_sdp(ice=False, address=private), ["SIP-source-address"])), 1):
        edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", body)
        case.eventually(lambda: len(edge.ng.of("offer")) == count, "an offer")
        expect_flags(edge.ng.of("offer")[-1], ["outside", "inside"], INSIDE, extra)


@case.case
def a_call_forks_to_browsers_or_to_others(scratch):
    """One offer goes to all: those who cannot do what it holds are left out."""
    edge = Edge(scratch)
    pbx = edge.inside_server()
    browsers = [edge.browser("alice"), edge.browser("alice")]
    softphone = edge.client("alice")
    sip.request(pbx, "INVITE", f"sip:alice@{DOMAIN}", f"sip:6001@{DOMAIN}", user="6001",
                body=inside_sdp())
    for browser in browsers:
        expect("UDP/TLS/RTP/SAVPF" in browser.expect("INVITE").body, "offered DTLS")
    try:
        got = softphone.expect("INVITE", 0.5)
    except AssertionError:
        got = None
    expect(got is None and len(edge.ng.of("offer")) == 1, "not the softphone")


VIDEO = "".join(f"{line}\r\n" for line in (
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97", "c=IN IP4 0.0.0.0", "a=rtpmap:96 VP8/90000",
    "a=rtcp-fb:96 nack pli", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96", "a=mid:1",
    f"a=fingerprint:sha-256 {edges.FINGERPRINT}", "a=setup:actpass", "a=rtcp-mux",
    "a=ice-ufrag:abcd", "a=ice-pwd:0123456789abcdefghijklmn", "a=sendrecv",
    *(f"a=ssrc:{number} msid:stream track" for number in range(100000, 100200))))
CHANNEL = ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\n"
           "a=sctp-port:5000\r\n")


def media_of(body):
    """The m-lines of a description, each with its lines."""
    return [("m=" + part).split("\r\n") for part in body.split("m=")[1:]]


def expect_for_browser(lines, setup):
    expect(lines[0].split(" ")[2] == "UDP/TLS/RTP/SAVPF" and lines[0].split(" ")[1] != "0", lines)
    for start in (f"a=setup:{setup}", "a=fingerprint:sha-256 ", "a=ice-ufrag:", "a=ice-pwd:",
                  "a=rtcp-mux", "a=candidate:"):
        expect(any(line.startswith(start) for line in lines), f"no {start} in {lines}")
    expect(not any(line.startswith("a=crypto") for line in lines), lines)
    expect(any(edges.OUTSIDE in line for line in lines if line.startswith("a=candidate:")), lines)


def expect_for_inside(lines):
    expect(lines[0].split(" ")[2] == "RTP/AVP" and lines[0].split(" ")[1] != "0", lines)
    for start in ("a=setup", "a=fingerprint", "a=ice-", "a=candidate", "a=rtcp-mux", "a=crypto"):
        expect(not any(line.startswith(start) for line in lines), f"{start} in {lines}")


@case.case
def a_browsers_call_by_the_real_relay(scratch):
    """Audio, video and a data channel out; the channel is turned off, and the rest is a call."""
    edge = Edge(scratch, real_relay=True)
    pbx, alice = edge.inside_server(), edge.browser("alice")
    edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", dtls_sdp() + VIDEO + CHANNEL)
    asked = pbx.expect("INVITE")
    audio, video, channel = media_of(asked.body)
    expect_for_inside(audio)
    expect_for_inside(video)
    expect(channel[0].startswith("m=application 0 "), channel)
    body = inside_sdp() + "m=video 50002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
    body += f"{channel[0]}\r\n"
    sip.reply(pbx, asked, 200, "OK", "6001", body, to_tag="pbx")
    answer = alice.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    audio, video, channel = media_of(answer.body)
    expect_for_browser(audio, "passive")
    expect_for_browser(video, "passive")
    expect(channel[0].startswith("m=application 0 "), channel)


@case.case
def a_browser_is_called_by_the_real_relay(scratch):
    edge = Edge(scratch, real_relay=True)
    pbx, alice, bob = edge.inside_server(), edge.browser("alice"), edge.client("bob")
    sent = sip.request(pbx, "INVITE", f"sip:alice@{DOMAIN}", f"sip:6001@{DOMAIN}", user="6001",
                       body=inside_sdp())
    asked = alice.expect("INVITE")
    expect_for_browser(media_of(asked.body)[0], "actpass")
    reply = dtls_sdp().replace("actpass", "active")
    calling, called, answer = answered(edge, pbx, alice, asked, sent, reply, "alice")
    expect_for_inside(media_of(answer.body)[0])
    fingerprint = [line for line in media_of(asked.body)[0] if "fingerprint" in line]
    asked = reinvite(calling, called, inside_sdp(direction="sendonly"),
                     reply.replace("sendrecv", "recvonly"))
    expect_for_browser(media_of(asked.body)[0], "actpass")
    expect([line for line in media_of(asked.body)[0] if "fingerprint" in line] == fingerprint,
           "the association goes on")
    # Outside to outside: a softphone with SDES.
    sent = edges.invite(bob, "bob", f"sip:alice@{DOMAIN}", outside_sdp())
    asked = alice.expect("INVITE")
    expect_for_browser(media_of(asked.body)[0], "actpass")
    _, _, answer = answered(edge, bob, alice, asked, sent, reply, "alice")
    lines = media_of(answer.body)[0]
    expect(lines[0].split(" ")[2] == "RTP/SAVP", lines)
    expect(any(line.startswith("a=crypto") for line in lines), lines)
    expect(not any(line.startswith(("a=ice-", "a=fingerprint")) for line in lines), lines)


def refusal(edge, **handshake):
    """The status with which a handshake is refused; 101 when it is not."""
    try:
        edge.websocket(**handshake)
        return 101
    except ws.Refused as refused:
        expect("turnpike" not in refused.head.lower() and "kamailio" not in refused.head.lower(),
               f"no product is told: {refused.head}")
        return refused.status


@case.case
def only_allowed_pages_open_a_websocket(scratch):
    edge = Edge(scratch, {"sip": {"requests_per_second_max": 1000}})
    wrong = []
    for expected, handshake in (
            (101, {}), (101, {"request": "GET /ws HTTP/1.1"}),
            (101, {"Host": f"{DOMAIN.upper()}:443"}), (101, {"Host": DOMAIN}),
            (101, {"Sec_WebSocket_Protocol": "chat, sip"}),
            (403, {"origin": ""}), (403, {"origin": "null"}), (403, {"origin": "*"}),
            (403, {"origin": ORIGIN + ".evil.example"}), (403, {"origin": ORIGIN + ":8443"}),
            (403, {"origin": ORIGIN.replace("https", "http")}), (403, {"origin": ORIGIN + "/"}),
            (403, {"origin": f"{ORIGIN}\r\nOrigin: https://evil.example"}),
            (403, {"origin": f"https://evil.example\r\nOrigin: {ORIGIN}"}),
            (403, {"Host": "evil.example"}), (403, {"Host": None}),
            (403, {"Host": f"{DOMAIN}.evil.example"}), (403, {"Host": f"x{DOMAIN}"}),
            (403, {"Host": DOMAIN.replace(".", "x")}), (403, {"Host": f"{DOMAIN}@evil.example"}),
            (400, {"Sec_WebSocket_Protocol": "chat"}), (400, {"Sec_WebSocket_Protocol": None}),
            (400, {"Sec_WebSocket_Protocol": "sipx, xsip"}), (400, {"Sec_WebSocket_Key": None}),
            (426, {"Sec_WebSocket_Version": "8"}), (426, {"Upgrade": None}),
            (426, {"Upgrade": "h2c"}), (426, {"Connection": "keep-alive"}),
            (404, {"request": "GET /RPC HTTP/1.1"}), (404, {"request": "GET /?x HTTP/1.1"}),
            (405, {"request": "POST / HTTP/1.1", "Content_Length": "0"}),
            (405, {"request": "CONNECT / HTTP/1.1"})):
        status = refusal(edge, **handshake)
        if status != expected:
            wrong.append(f"{status} instead of {expected} for {handshake}")
    expect(not wrong, "; ".join(wrong))
    expect(edge.counter("refused_origin") == 15 and edge.counter("refused_http") == 10,
           f"{edge.counter('refused_origin')} origins, {edge.counter('refused_http')} others")
    expect(not edge.ng.commands, "no port")


@case.case
def http_is_served_nowhere_else(scratch):
    edge = Edge(scratch)
    for remote in (edges.TLS, edges.MTLS):
        agent = ws.Agent(network.OUTSIDE)
        scratch.on_exit(agent.close)
        try:
            certificate = "peer-partner" if remote == edges.MTLS else ""
            agent.connect(remote, edge.certificates.context(certificate), DOMAIN, origin=ORIGIN)
            status = 101
        except ws.Refused as refused:
            status = refused.status
        expect(status == 0, f"{remote}: {status}")
    expect(edge.counter("refused_http") == 2, "counted")


@case.case
def sip_without_a_websocket_is_not_served_there(scratch):
    edge = Edge(scratch)
    agent = edge.connect(WSS)
    sip.request(agent, "OPTIONS", f"sip:{DOMAIN}", "sip:probe@anywhere.example")
    try:
        answer = agent.final(5)
    except ConnectionError:
        answer = None
    expect(answer is None and edge.counter("refused_source") == 1, answer)


@case.case
def a_stranger_in_a_browser_gets_nowhere(scratch):
    edge = Edge(scratch)
    pbx, stranger = edge.inside_server(), edge.websocket()
    sip.request(stranger, "INVITE", f"sip:6001@{DOMAIN}", f"sip:alice@{DOMAIN}", user="alice",
                body=dtls_sdp())
    expect(stranger.final().status == 407, "challenged")
    edges.invite(stranger, "alice", f"sip:6001@{DOMAIN}", dtls_sdp())
    expect(stranger.final(method="INVITE").status == 403, "the password is not enough")
    expect(edges.register(stranger, "alice", "guessed").status == 401, "a wrong one is nothing")
    sip.request(stranger, "INVITE", f"sip:6001@{DOMAIN}", "sip:jane@partner.example",
                body=dtls_sdp())
    expect(stranger.final(method="INVITE").status == 403, "not of a foreign domain")
    edge.browser("bob")
    sip.request(stranger, "OPTIONS", f"sip:{DOMAIN}", "sip:probe@anywhere.example")
    expect(stranger.final().status == 200, "OPTIONS as on 5061")
    expect(not edge.ng.commands and not [m for m in pbx.received if m.method != "OPTIONS"],
           "nothing came of it")


@case.case
def media_of_a_browser_is_dtls_with_a_good_fingerprint(scratch):
    edge = Edge(scratch)
    edge.inside_server()
    alice = edge.browser("alice")
    good = dtls_sdp()
    channel = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
    for body in (good.replace("sha-256", "sha-1"), good.replace("a=fingerprint", "a=x-fingerprint"),
                 good.replace("UDP/TLS/RTP/SAVPF", "RTP/AVPF"),
                 good.replace("UDP/TLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF"),
                 good.replace("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/AVPF"),
                 good + "m=video 9 RTP/AVPF 96\r\n", good + channel.replace("UDP/DTLS/", "UDP/"),
                 good + channel.replace("UDP/DTLS/SCTP", "UDP/DTLS/SCTP/x")):
        edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", body)
        answer = alice.final(method="INVITE")
        expect(answer.status == 488, f"{answer.start} for {body}")
    expect(not edge.ng.commands, "the relay was not asked")
    video = "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=bundle-only\r\n"
    for count, body in enumerate((good + channel, good + video,
                                  good.replace("sha-256", "SHA-384")), 1):
        edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", body)
        case.eventually(lambda: len(edge.ng.of("offer")) == count, f"an offer for {body}")


@case.case
def a_registration_ends_with_its_connection(scratch):
    edge = Edge(scratch)
    pbx = edge.inside_server()
    for leave in (lambda agent: agent.close(),
                  lambda agent: agent.send_raw(ws.frame(b"\x03\xe8", ws.CLOSE))):
        alice = edge.browser("alice")
        sip.request(pbx, "OPTIONS", f"sip:alice@{DOMAIN}", f"sip:6001@{DOMAIN}", user="6001")
        sip.reply(alice, alice.expect("OPTIONS"), 200, "OK", "alice")
        expect(pbx.final(method="OPTIONS").status == 200, "she is there")
        leave(alice)

        def gone():
            sip.request(pbx, "OPTIONS", f"sip:alice@{DOMAIN}", f"sip:6001@{DOMAIN}", user="6001")
            return pbx.final(method="OPTIONS").status == 480
        case.eventually(gone, "and then not", 30, every=0.3)


@case.case
def pings_keep_the_connection_and_find_who_is_gone(scratch):
    edge = Edge(scratch)
    edge.restart(('"keepalive_timeout", 25', '"keepalive_timeout", 1'))
    alive, gone = edge.browser("alice"), edge.websocket()
    gone.answers_pings = False

    def cut_off():
        alive._read(0)
        try:
            gone._read(0.05)
        except ConnectionError:
            return True
        return False
    case.eventually(cut_off, "who does not answer is cut off", 20)
    case.eventually(lambda: alive._read(0.05) and alive.pings > 2, "pings come", 20)
    sip.request(alive, "OPTIONS", f"sip:{DOMAIN}", "sip:probe@anywhere.example")
    expect(alive.final().status == 200, "who answers is served")


@case.case
def strangers_are_few_and_do_not_stay(scratch):
    edge = Edge(scratch)
    edge.restart(("NETWORK_STRANGERS_MAX 100", "NETWORK_STRANGERS_MAX 3"),
                 ("strangers=>size=10;autoexpire=120", "strangers=>size=10;autoexpire=20"))
    users = [edge.browser("alice"), edge.browser("bob"), edge.browser("bob")]
    strangers = [edge.websocket() for _ in range(3)]
    expect(refusal(edge) == 503, "a fourth is one too many")
    strangers.pop().send_raw(ws.frame(b"\x03\xe8", ws.CLOSE))
    case.eventually(lambda: edge.remembered("strangers") == 2, "one has left")
    expect(edge.websocket(place=network.STRANGER), "others may come")
    strangers.append(edge.websocket())
    expect(refusal(edge) == 503, "there was room for one")

    def told_to_go():
        for agent in strangers:
            if agent.closed is None:
                agent._read(0.05)
        return all(agent.closed == 1008 for agent in strangers)
    case.eventually(told_to_go, "strangers are told to go", 60)
    expect(edge.remembered("waiting") <= 1, "and forgotten")
    expect(refusal(edge) == 101, "there is room again")
    for agent in users:
        sip.request(agent, "OPTIONS", f"sip:{DOMAIN}", "sip:probe@anywhere.example")
        expect(agent.final().status == 200 and agent.closed is None, "users stay")


@case.case
def a_flood_is_ignored_over_websockets_too(scratch):
    edge = Edge(scratch, {"sip": {"requests_per_second_max": 20}})
    flood = edge.websocket()
    for _ in range(400):
        sip.request(flood, "OPTIONS", f"sip:{DOMAIN}", "sip:flood@anywhere.example")
    case.eventually(lambda: edge.counter("dropped_flood") > 100, "the flood is dropped")
    expect(refusal(edge) == 0, "no further WebSocket from there")
    other = edge.websocket(place=network.STRANGER)
    sip.request(other, "OPTIONS", f"sip:{DOMAIN}", "sip:probe@anywhere.example")
    expect(other.final().status == 200, "others are served")


@case.case
def handshakes_are_counted_as_requests(scratch):
    edge = Edge(scratch, {"sip": {"requests_per_second_max": 5}})
    statuses = [refusal(edge, origin="https://evil.example") for _ in range(40)]
    expect(statuses[0] == 403 and statuses[-1] == 0, statuses)
    expect(edge.counter("dropped_flood") >= 1, "counted")


@case.case
def damaged_frames_change_nothing(scratch):
    edge = Edge(scratch)
    pbx = edge.inside_server()
    options = sip.build(f"OPTIONS sip:{DOMAIN} SIP/2.0", [
        ("Via", "SIP/2.0/WSS a.invalid;branch=z9hG4bKx"), ("Max-Forwards", "70"),
        ("From", "<sip:a@b.example>;tag=a"), ("To", f"<sip:{DOMAIN}>"), ("Call-ID", "x"),
        ("CSeq", "1 OPTIONS"), ("Contact", "<sip:a@a.invalid;transport=ws>")])
    for data in (ws.frame(b"x" * 70000), ws.frame(b"", claimed=1 << 40),
                 ws.frame(b"", claimed=(1 << 63) + 5), ws.frame(b"x" * 200, ws.PING),
                 ws.frame(b"x", 3), ws.frame(b"x", 0), ws.frame(b"\xff\xfe" * 50),
                 ws.frame(b"", 1), ws.frame(b"x", 1, final=False) + ws.frame(b"y"),
                 b"\xff" * 100, b"\x00" * 100, options,
                 ws.frame(options[:50], final=False) + ws.frame(options[50:], 0)):
        agent = edge.websocket()
        agent.send_raw(data)
        agent.close()
    big = edge.websocket()
    big.send(options.replace(b"Max-Forwards", b"X-More: " + b"y" * 17000 + b"\r\nMax-Forwards"))
    expect(big.final().status == 513, "too large")
    with edge.websocket() as agent:
        agent.send(b"\r\n\r\n")
        sip.request(agent, "OPTIONS", f"sip:{DOMAIN}", "sip:probe@anywhere.example")
        expect(agent.final().status == 200, "still serving")
    expect(edge.process.poll() is None and not edge.ng.commands, "nothing came of it")
    expect(not [m for m in pbx.received if m.method != "OPTIONS"], "nothing reached the inside")


if __name__ == "__main__":
    case.run()
