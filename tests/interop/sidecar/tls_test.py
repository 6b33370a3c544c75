"""TLS on both outside listeners: who is let in, with which certificate, under which name."""

# time limit: 300 s

import socket
import ssl
import subprocess

import edge as edges
import sip
import ws
from edge import DOMAIN, MTLS, TLS, WSS, Edge, case, inside_sdp, network, outside_sdp
from lib.case import expect
from servers import TlsServer

SNI_EDGE = {"sip.certificate.tenant": {
    "server_name": "tenant.example.net", "certificate_file": "pki/tenant.pem",
    "private_key_file": "pki/tenant.key"}}
NAMES = {"none": None, "right": DOMAIN, "other": "tenant.example.net",
         "unknown": "nobody.example.org"}


def make_certificates(certificates):
    partner = "DNS:sip.partner.example"
    certificates.make("tenant", "DNS:tenant.example.net", "serverAuth")
    certificates.make("good", partner)
    certificates.authority("stranger-ca")
    certificates.make("wrong-ca", partner, authority="stranger-ca")
    certificates.make("server-only", partner, "serverAuth")
    certificates.make("expired", partner, expired=True)
    certificates.make("nobody", "DNS:sip.nobody.example")
    certificates.make("second-name", "DNS:other.example,DNS:sip.partner.example")
    certificates.make("common-name", "", common_name="sip.partner.example")
    certificates.make("nul", "DNS:sip.partner.example", common_name="x")
    certificates.make("wildcard", "DNS:*.partner.example")


def lenient(edge, certificate):
    """A client that does not mind which certificate it is shown: the edge's judgement counts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        folder = edge.certificates.folder
        context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    return context


def attempt(edge, remote, certificate, name):
    """(what OPTIONS got: a status or "refused", subject names of the certificate shown)."""
    agent = sip.Agent(network.OUTSIDE, 0, "tls")
    try:
        agent.connect(remote, lenient(edge, certificate), name)
        shown = agent.socket.getpeercert(True)
        sip.request(agent, "OPTIONS", f"sip:{DOMAIN}", "sip:probe@partner.example")
        return agent.final().status, shown
    except (ssl.SSLError, ConnectionError):
        return "refused", None
    finally:
        agent.close()


def name_in(der):
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-ext",
                           "subjectAltName"], input=der, capture_output=True, check=True).stdout
    return text.decode()


@case.case
def probe_matrix(scratch):
    """{5061, 5062} x {certificates} x {server names}: row 0.1. The second column is what OPTIONS
    gets; a peer's certificate is no privilege on 5061, and nothing else opens 5062."""
    edge = Edge(scratch, SNI_EDGE, make_certificates)
    wrong = []
    for port, remote in (("5061", TLS), ("5062", MTLS)):
        for certificate in ("", "good", "wrong-ca", "server-only", "expired"):
            for what, name in NAMES.items():
                status, shown = attempt(edge, remote, certificate, name)
                expected = 200 if port == "5061" or certificate == "good" else "refused"
                line = f"{port} certificate {certificate or 'none'}, SNI {what}: {status}"
                case.note(line)
                if status != expected:
                    wrong.append(line)
                tenant = port == "5061" and what == "other"
                if shown and ("tenant.example.net" in name_in(shown)) != tenant:
                    wrong.append(f"{line}: shown the certificate of {name_in(shown)}")
    expect(not wrong, "; ".join(wrong))


@case.case
def a_call_needs_the_certificate_too(scratch):
    """The matrix with a call: not even an INVITE in one write with the handshake gets through."""
    edge = Edge(scratch, SNI_EDGE, make_certificates)
    pbx = edge.inside_server()
    for certificate in ("", "wrong-ca", "server-only", "expired"):
        for name in NAMES.values():
            agent = sip.Agent(network.OUTSIDE, 0, "tls")
            try:
                agent.connect(MTLS, lenient(edge, certificate), name)
                sip.request(agent, "INVITE", f"sip:6001@{DOMAIN}", "sip:joe@partner.example",
                            body=outside_sdp())
                answer = agent.final(3).start
            except (ssl.SSLError, ConnectionError, AssertionError):
                answer = None
            finally:
                agent.close()
            expect(answer is None, f"{certificate} {name}: {answer}")
    expect(not edge.ng.commands, edge.ng.commands)
    expect(not [m for m in pbx.received if m.method != "OPTIONS"], "nothing reached the inside")
    with edge.connect(MTLS, "good") as peer:
        sip.request(peer, "INVITE", f"sip:6001@{DOMAIN}", "sip:joe@partner.example",
                    body=outside_sdp())
        expect("sip:6001@" in pbx.expect("INVITE").uri, "the peer's call arrives")


@case.case
def the_certificates_name_decides_who_a_peer_is(scratch):
    edge = Edge(scratch, SNI_EDGE, make_certificates)
    for certificate, expected in (("good", 200), ("nobody", 403), ("second-name", 403),
                                  ("common-name", 403), ("wildcard", 403)):
        status, _ = attempt(edge, MTLS, certificate, DOMAIN)
        expect(status == expected, f"{certificate}: {status}")
    expect("no peer is named 'sip.nobody.example'" in edge.log(), "the log says which name")
    expect(edge.counter("refused_peer") == 4, "counted")


@case.case
def a_certificate_of_nobody_fills_no_log(scratch):
    """Whoever some authority knows can send requests to the port of the peers."""
    edge = Edge(scratch, {"sip": {"requests_per_second_max": 10}},
                before=lambda certificates: certificates.make(
                    "nobody", "", common_name="nobody\nforged line"))
    for _ in range(5):
        with edge.connect(MTLS, "nobody") as peer:
            sip.request(peer, "OPTIONS", f"sip:6001@{DOMAIN}", "sip:joe@partner.example")
            expect(peer.final().status == 403, "not a peer")
            try:
                expect(not peer._read(5), "more came")
                expect(False, "it stays open")
            except ConnectionError:
                pass
    expect(edge.log().count("no peer is named") == 1, "said once")
    expect("CN 'nobody?forged line'" in edge.log(), "in one line")
    expect("assignment failed" not in edge.log(), "and nothing else of it")
    # Each of these has a connection of its own, or the first answer would end all.
    for _ in range(80):
        with edge.connect(MTLS, "nobody") as peer:
            sip.request(peer, "OPTIONS", f"sip:6001@{DOMAIN}", "sip:joe@partner.example")
    case.eventually(lambda: edge.counter("dropped_flood") > 10, "the flood is dropped")


@case.case
def the_common_name_counts_where_the_site_says_so(scratch):
    edge = Edge(scratch, SNI_EDGE | {"sip.peer.partner": {"verify_name": "san-or-cn"}},
                make_certificates)
    for certificate, expected in (("good", 200), ("common-name", 200), ("second-name", 403),
                                  ("nobody", 403)):
        status, _ = attempt(edge, MTLS, certificate, DOMAIN)
        expect(status == expected, f"{certificate}: {status}")


def handshake(edge, *options, port=5061):
    """openssl s_client's verdict on a handshake; True when it succeeded."""
    done = subprocess.run(
        network.OUTSIDE.command("openssl", "s_client", "-connect", f"{edges.OUTSIDE}:{port}",
                                "-CAfile", edge.certificates.folder / "ca.pem", "-brief",
                                *options),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
    return "CONNECTION ESTABLISHED" in done.stderr, done.stderr


@case.case
def old_versions_and_weak_suites_are_refused(scratch):
    edge = Edge(scratch)
    weak = ("-cipher", "ALL:@SECLEVEL=0")
    for port in (TLS[1], WSS[1]):
        for version in ("-tls1", "-tls1_1"):
            ok, said = handshake(edge, version, *weak, port=port)
            expect(not ok, f"{port} {version}: {said}")
        for version in ("-tls1_2", "-tls1_3"):
            ok, said = handshake(edge, version, port=port)
            expect(ok, f"{port} {version}: {said}")
        for suite in ("RC4", "3DES", "aNULL", "eNULL", "MD5", "PSK", "AES128-SHA", "AES256-SHA"):
            ok, said = handshake(edge, "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0", port=port)
            expect(not ok, f"{port} {suite}: {said}")


@case.case
def browsers_are_shown_the_certificate_of_their_name_and_asked_for_none(scratch):
    edge = Edge(scratch, SNI_EDGE, make_certificates)
    for what, name in NAMES.items():
        for certificate in ("", "good", "wrong-ca", "expired"):
            agent = ws.Agent(network.OUTSIDE)
            scratch.on_exit(agent.close)
            sip.Agent.connect(agent, WSS, lenient(edge, certificate), name)
            tenant = "tenant.example.net" in name_in(agent.socket.getpeercert(True))
            expect(tenant == (what == "other"), f"SNI {what}: another certificate")
            agent.upgrade("tenant.example.net" if tenant else DOMAIN, edges.ORIGIN)
            sip.request(agent, "OPTIONS", f"sip:{DOMAIN}", "sip:probe@partner.example")
            expect(agent.final().status == 200, f"SNI {what}, certificate {certificate}")
            agent.close()
    for port, asked in ((WSS[1], False), (TLS[1], False), (MTLS[1], True)):
        done = subprocess.run(
            network.OUTSIDE.command("openssl", "s_client", "-connect", f"{edges.OUTSIDE}:{port}",
                                    "-tls1_2", "-msg"),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
        expect("ServerHello" in done.stdout, f"{port}: {done.stderr}")
        expect(("CertificateRequest" in done.stdout) == asked, f"{port}: {done.stdout}")


@case.case
def refusals_are_logged_with_reason_peer_and_name(scratch):
    edge = Edge(scratch, SNI_EDGE, make_certificates)
    for certificate, reason in (("", "peer did not return a certificate"),
                                ("expired", "certificate verify failed"),
                                ("server-only", "certificate verify failed")):
        attempt(edge, MTLS, certificate, "tenant.example.net")
        case.eventually(lambda: reason in edge.log(), f"the log gives the reason: {reason}")
    expect(f"src addr: {network.OUTSIDE.v4}" in edge.log(), "and who it was")
    expect("sni: tenant.example.net" in edge.log(), "and the name asked for")


@case.case
def weak_or_damaged_identities_are_not_installed(scratch):
    edge = Edge(scratch)
    pki = edge.certificates.folder
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout",
                    "server.key", "-out", "server.pem", "-days", "30", "-subj", "/CN=x",
                    "-addext", f"subjectAltName=DNS:{DOMAIN}"], cwd=pki, check=True,
                   capture_output=True)
    expect("RSA 1024" in edge.turnpiked("--write-sidecar", fails=True), "RSA 1024 is refused")
    edge.certificates.make("server", "DNS:elsewhere.example")
    said = edge.turnpiked("--write-sidecar", fails=True)
    expect(f"not valid for {DOMAIN}" in said, said)
    edge.certificates.make("server", f"DNS:{DOMAIN}", expired=True)
    expect("expired" in edge.turnpiked("--write-sidecar", fails=True), "expired")
    (pki / "server.key").write_text((pki / "ca.key").read_text())
    expect("is not the key of" in edge.turnpiked("--write-sidecar", fails=True), "mismatch")
    (pki / "server.key").unlink()
    expect("No such file" in edge.turnpiked("--write-sidecar", fails=True), "missing")


@case.case
def new_certificates_are_taken_with_calls_up(scratch):
    """Row 1.4: who calls stays connected, who comes is shown the new certificate, or judged by the
    new trust file. Files that cannot be used change nothing."""
    edge = Edge(scratch, SNI_EDGE, make_certificates)
    pbx = edge.inside_server()
    pki = edge.certificates.folder
    alice = edge.client("alice")
    sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    sip.reply(pbx, pbx.expect("INVITE"), 200, "OK", "6001", inside_sdp())
    caller = edges.caller_side(alice, "alice", sent, alice.final(method="INVITE"))
    caller.request("ACK", cseq=caller.cseq)
    pbx.expect("ACK")
    old = attempt(edge, TLS, "", DOMAIN)[1]

    edge.certificates.make("server", "DNS:elsewhere.example")
    said = edge.reload()
    expect(f"not valid for {DOMAIN}" in said, f"the reload tells what is wrong: {said}")
    expect(attempt(edge, TLS, "", DOMAIN)[1] == old, "and the old certificate stays")

    edge.certificates.make("server", f"DNS:{DOMAIN}", "serverAuth")
    (pki / "ca.pem").write_text((pki / "ca.pem").read_text() +
                                (pki / "stranger-ca.pem").read_text())
    expect(attempt(edge, MTLS, "wrong-ca", DOMAIN)[0] == "refused", "not trusted yet")
    expect(edge.reload() == "", "the reload succeeds")
    case.eventually(lambda: attempt(edge, TLS, "", DOMAIN)[1] != old, "a new one is shown")
    expect(attempt(edge, MTLS, "wrong-ca", DOMAIN)[0] == 200, "the new authority is trusted")
    caller.request("BYE")
    sip.reply(pbx, pbx.expect("BYE"), 200, "OK")
    expect(alice.final(method="BYE").status == 200, "the call went on over its connection")


@case.case
def a_failed_handshake_cuts_nobody_off(scratch):
    """Kamailio's processes share OpenSSL's error queue: an error of one connection must not be
    taken for one of another."""
    edge = Edge(scratch, {"sip": {"requests_per_second_max": 100000}}, make_certificates)
    others = [edge.connect() for _ in range(6)]
    for i in range(25):
        for certificate in ("expired", "wrong-ca", "server-only"):
            expect(attempt(edge, MTLS, certificate, DOMAIN)[0] == "refused", certificate)
            for other in others:
                sip.request(other, "OPTIONS", f"sip:{DOMAIN}", "sip:probe@anywhere.example")
            for other in others:
                try:
                    expect(other.final().status == 200, "OPTIONS")
                except ConnectionError as error:
                    raise case.Failed(f"cut off in round {i} by {certificate}") from error


# ---- the edge as a TLS client ----------------------------------------------------------------

def tls_server_edge(scratch, certificate):
    """An edge whose pbx speaks TLS, and that server."""
    def before(certificates):
        certificates.make("pbx", f"IP:{network.INSIDE.v4}")
        certificates.make("other-address", "IP:10.20.0.99")
        certificates.authority("stranger-ca")
        certificates.make("wrong-ca", f"IP:{network.INSIDE.v4}", authority="stranger-ca")
        certificates.make("client-only", f"IP:{network.INSIDE.v4}", "clientAuth")
    edge = Edge(scratch, {"sip": {"inside_tls_port": 5061}, "sip.servers.pbx": {
        "uris": [f"sip:{network.INSIDE.v4}:5071;transport=tls"]}}, before)
    return edge, TlsServer(scratch, edge, certificate)


def call_until(edge, alice, status, tries=20):
    """Calls until the answer has `status`: the connection is verified by the next OPTIONS."""
    for _ in range(tries):
        edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
        answer = alice.expect(lambda m: m.status >= 100 and m.cseq_method == "INVITE"
                              and m.status != 407)
        while answer.status == 100:
            answer = alice.expect(lambda m: m.status > 100 and m.cseq_method == "INVITE")
        if answer.status == status:
            return answer
        alice_wait(alice)
    raise case.Failed(f"{answer.start} instead of {status}")


def alice_wait(agent):
    """Lets a moment pass in which the edge may send its next OPTIONS."""
    try:
        agent.expect("none", 0.5)
    except AssertionError:
        pass


@case.case
def a_tls_server_is_called_over_its_verified_connection(scratch):
    edge, server = tls_server_edge(scratch, "pbx")
    alice = edge.client("alice")
    case.eventually(lambda: server.connections, "the edge connects", 15)

    def ring():
        for message in server.received:
            if message.method == "INVITE":
                return message
        return None
    for _ in range(20):
        sent = edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
        alice_wait(alice)
        if ring():
            break
    asked = ring()
    expect(asked is not None, "the call arrives")
    server.answer(asked, 200, "OK", user="6001", body=inside_sdp(), to_tag="pbx")
    answer = alice.expect(lambda m: m.status == 200 and m.cseq_method == "INVITE")
    expect("RTP/SAVP" in answer.body, answer.body)
    server.received.clear()
    caller = edges.caller_side(alice, "alice", sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    again = caller.request("INVITE", outside_sdp(direction="sendonly"))
    # It goes on elsewhere: where nobody has shown a certificate, and where it would be another's.
    server.answer(case.eventually(ring, "held"), 200, "OK", body=inside_sdp(),
                  extra=[("Contact", f"<sip:6001@{network.INSIDE.v4}:5072;transport=tls>")])
    answer = alice.expect(lambda m: m.status == 200 and m.cseq_method == "INVITE")
    expect(server.connections == 1, "one connection carries OPTIONS and calls")
    elsewhere = TlsServer(scratch, edge, "other-address", port=5072)
    caller.target = answer.contact_uri()
    expect(":5072" in caller.target, answer.headers)
    caller.request("ACK", cseq=int(again.first("cseq").split()[0]))
    caller.request("INVITE", outside_sdp())
    expect(alice.final(method="INVITE").status >= 400, "resumed")
    caller.request("BYE")
    expect(alice.final(method="BYE").status >= 400, "hung up")
    expect(not elsewhere.connections and not elsewhere.failures, "a connection was opened")


@case.case
def a_tls_server_with_a_wrong_certificate_is_never_called(scratch):
    """Neither over TLS nor, as a way out, in clear: row 3.3."""
    for certificate in ("other-address", "wrong-ca", "client-only"):
        with_scratch = case.Scratch(scratch.folder / certificate)
        with_scratch.folder.mkdir()
        try:
            edge, server = tls_server_edge(with_scratch, certificate)
            clear = [sip.Agent(network.INSIDE, port, kind) for port in (5060, 5070)
                     for kind in ("udp", "tcp")]
            for agent in clear:
                with_scratch.on_exit(agent.close)
                if agent.transport == "tcp":
                    agent.socket.listen()
                agent.socket.settimeout(0)
            alice = edge.client("alice")
            case.eventually(lambda: server.connections or server.failures, "it is tried", 15)
            for _ in range(3):
                edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
                answer = alice.final(method="INVITE")
                expect(answer.status == 503, f"{certificate}: {answer.start}")
                alice_wait(alice)
            expect(not server.received, f"{certificate}: {[m.start for m in server.received]}")
            expect(not edge.ng.commands, "no port")
            reason = "10.20.0.99" if certificate == "other-address" else "verify failed"
            expect(reason in edge.log(), f"{certificate}: the log says why")
            for agent in clear:
                try:
                    got = (agent.socket.recv(100) if agent.transport == "udp"
                           else agent.socket.accept())
                except BlockingIOError:
                    got = None
                expect(not got, f"{certificate}: clear bytes {got}")
        finally:
            with_scratch.close()


@case.case
def calls_to_a_peer_use_mutual_tls(scratch):
    edge = Edge(scratch, {"sip.peer.partner": {
        "uri": f"sip:{network.OUTSIDE.v4}:5062;transport=tls"}})
    server = TlsServer(scratch, edge, "peer-partner", network.OUTSIDE, 5062, ask="ca")
    pbx = edge.inside_server()
    case.eventually(lambda: server.connections, f"the edge connects {server.failures}", 15)
    for _ in range(20):
        sip.request(pbx, "INVITE", "sip:joe@partner.example", f"sip:6001@{DOMAIN}", user="6001",
                    body=inside_sdp())
        alice_wait(pbx)
        invites = [m for m in server.received if m.method == "INVITE"]
        if invites:
            break
    expect(invites and "a=crypto" in invites[0].body, "the call arrives, with SRTP")
    expect(edge.ng.of("offer")[0]["direction"] == ["inside", "outside"], edge.ng.commands)


@case.case
def keys_within_a_call_go_to_no_impostor(scratch):
    """Who has taken over the peer's address has a good certificate, of another name."""
    edge = Edge(scratch, {"sip.peer.partner": {
        "uri": f"sip:{network.OUTSIDE.v4}:5062;transport=tls"}},
        before=lambda certificates: certificates.make("wrong-name", "DNS:sip.elsewhere.example"))

    def listen(certificate, answers_options=True):
        server = TlsServer(scratch, edge, certificate, network.OUTSIDE, 5062, ask="ca")
        server.answers_options = answers_options
        case.eventually(lambda: server.connections, f"the edge connects {server.failures}", 15)
        return server

    server, pbx = listen("peer-partner"), edge.inside_server()
    for _ in range(20):
        sent = sip.request(pbx, "INVITE", "sip:joe@partner.example", f"sip:6001@{DOMAIN}",
                           user="6001", body=inside_sdp())
        alice_wait(pbx)
        if server.invites():
            break
    server.answer(server.expect("INVITE"), 200, "OK", user="joe", body=outside_sdp(),
                  to_tag="joe")
    answer = pbx.expect(lambda m: m.status == 200 and m.cseq_method == "INVITE")
    caller = edges.caller_side(pbx, "6001", sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    server.expect("ACK")

    def hold():
        """A re-INVITE; the final answer to it, when nobody gives one but the edge."""
        again = caller.request("INVITE", inside_sdp(direction="sendonly"))
        answer = pbx.expect(lambda m: m.status >= 200 and all(
            m.first(name) == again.first(name) for name in ("call-id", "cseq")))
        sip.acknowledge(pbx, again, answer)
        return answer

    server.close()
    for answers_options in (False, True):
        impostor = listen("wrong-name", answers_options)
        answer = hold()
        expect("503 No Verified TLS Connection" in answer.start, answer.start)
        expect(not impostor.invites(), "the keys went to whoever is there")
        impostor.close()
    server = listen("peer-partner")


    def asked():
        """Who it is, the edge learns by the answer to OPTIONS only."""
        caller.request("INVITE", inside_sdp(direction="sendonly"))
        alice_wait(pbx)
        return server.invites()
    case.eventually(asked, "the call goes on with the peer itself", 15)


@case.case
def a_peer_has_an_identity_and_a_trust_of_its_own(scratch):
    """Row 3.2: what is shown and trusted depends on the address that is called."""
    def before(certificates):
        certificates.authority("partner-ca")
        certificates.make("theirs", "DNS:sip.partner.example", authority="partner-ca")
        certificates.make("ours", "DNS:ours.example", authority="partner-ca")

    def peer(name, port):
        return {"domains": [f"{name}.example"], "certificate_names": [f"sip.{name}.example"],
                "uri": f"sip:{network.OUTSIDE.v4}:{port};transport=tls"}
    edge = Edge(scratch, {
        "sip.peer.partner": peer("partner", 5062) | {
            "certificate_file": "pki/ours.pem", "private_key_file": "pki/ours.key",
            "trust_file": "pki/partner-ca.pem"},
        "sip.peer.quiet": peer("quiet", 5082),
        "sip.peer.wrong": peer("wrong", 5083) | {"trust_file": "pki/partner-ca.pem"}}, before)
    partner = TlsServer(scratch, edge, "theirs", network.OUTSIDE, 5062, ask="partner-ca")
    quiet = TlsServer(scratch, edge, "peer-quiet", network.OUTSIDE, 5082, ask="ca")
    wrong = TlsServer(scratch, edge, "peer-wrong", network.OUTSIDE, 5083, ask="ca")
    case.eventually(lambda: partner.connections and quiet.connections and wrong.failures,
                    lambda: f"all are tried: {partner.failures} {quiet.failures}", 15)
    expect(partner.shown == {"ours.example"}, f"the partner is shown {partner.shown}")
    expect(DOMAIN in quiet.shown, f"the other one is shown {quiet.shown}")
    expect(not wrong.connections, "an authority of others is not trusted")


if __name__ == "__main__":
    case.run()
