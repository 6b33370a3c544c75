"""SIP across a traversal pair: two real turnpiked and their generated Kamailios, clients and phones
written by hand, relays that count what they are asked for."""

# time limit: 300 s

import dataclasses
import subprocess

import edge as edges
import fake_ng
import sip
from edge import case, network
from lib import turnpiked
from lib.case import eventually, expect
import netns
import traversal
from traversal import CORE_INSIDE, DOMAIN, EDGE_OUTSIDE, LISTEN_PORT, NUMBER

TLS = (EDGE_OUTSIDE, 5061)
FORGED = "0123456789abcdef01234567"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an agent lives."""

    name: str
    v4: str

    def sockets(self):
        return netns.inside(self.name)


class Pair:
    """Up after construction. `relays`: a FakeNg for each role."""

    def __init__(self, scratch, edge=None, core=None):
        self.scratch = scratch
        self.net = scratch.enter(traversal.Topology("tp-"))
        self.relays = {}
        self.pair = scratch.enter(traversal.Pair(
            scratch.folder, self.net, programs(), edge=edge, core=core, relay=self._relay))
        self.edge, self.core = self.pair.edge, self.pair.core
        scratch.on_exit(self._print_logs)
        self.certificates = edges.Certificates(self.pair.pki)

    def _relay(self, node):
        relay = fake_ng.FakeNg(str(node.folder / "fake.sock"), health=False)
        self.relays[node.role] = relay
        self.scratch.on_exit(relay.close)
        return relay.path

    def _print_logs(self):
        for node in (self.edge, self.core):
            print("".join(f"     {node.role} | {line}\n"
                          for line in node.log("kamailio").splitlines()[-25:]), end="")

    def of(self, role, command):
        return self.relays[role].of(command)

    def offers(self, role):
        """Of calls that the relay still has: without those that ended with a challenge."""
        deleted = passes(self.of(role, "delete"))
        return [offer for offer in self.of(role, "offer") if offer["call-id"] not in deleted]

    def connect(self, place="client"):
        agent = sip.Agent(self.place(place), 0, "tls")
        self.scratch.on_exit(agent.close)
        return agent.connect(TLS, self.certificates.context(), DOMAIN)

    def place(self, name):
        address = traversal.PHONE_ADDRESS.get(name, "127.0.0.1")
        return Place(self.net.name(name), address)

    def client(self, user, place="client", **options):
        agent = self.connect(place)
        answer = edges.register(agent, user, self.pair.password, domain=DOMAIN, **options)
        expect(answer.status == 200, f"REGISTER of {user}: {answer.start}")
        return agent

    def desk(self):
        """The phone inside, once the core knows that it lives."""
        agent = sip.Agent(self.place("inside"), 5060, "udp")
        self.scratch.on_exit(agent.close)
        agent.connect((CORE_INSIDE, 5060))
        agent.answers_options = True
        def lives():
            agent._read(0.05)
            return self.pair.core_sees_phone()
        eventually(lives, "the core sees the phone", 10)
        return agent

    def stream(self, place):
        """What the SIP server in `place` could do: a connection into the zone from there."""
        agent = sip.Agent(self.place(place), 0, "tcp")
        self.scratch.on_exit(agent.close)
        return agent.connect(("127.0.0.1", LISTEN_PORT))

    def paths(self):
        """Of the core's registrations."""
        return [line.strip() for line in self.core.sip("ul.dump").splitlines() if "Path:" in line]

    def invite(self, agent, user, uri, body, **options):
        return edges.invite(agent, user, uri, body, self.pair.password, domain=DOMAIN, **options)


def programs():
    return {name: turnpiked.executable(name) for name in ("turnpiked", "turnpikectl")}


def uri(user):
    return f"sip:{user}@{DOMAIN}"


@case.case
def kamailio_takes_what_is_generated(scratch):
    net = traversal.Topology("tp-")  # names only
    browsers = {"sip": {"wss_port": 8443, "websocket_origins": ["https://phone.example.com"],
                        "outside_media": "dtls", "emergency_numbers": ["112"]}}
    upstream = {"sip": {"upstream": "sip:10.30.0.10:5080"}}
    inside_tls = {"sip": {"inside_tls_port": 5061, "certificate_file": scratch.folder / "c.pem",
                          "private_key_file": scratch.folder / "c.key",
                          "trust_file": scratch.folder / "c.pem"}}
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", scratch.folder / "c.key",
                    "-out", scratch.folder / "c.pem", "-subj", f"/CN={DOMAIN}", "-addext",
                    f"subjectAltName=DNS:{DOMAIN}"], check=True, capture_output=True)
    for number, (edge, core) in enumerate(((None, None), (browsers, upstream),
                                           (None, inside_tls))):
        pair = traversal.Pair(scratch.folder / str(number), net, programs(), edge=edge, core=core)
        for node in pair.nodes:
            run = [node.programs["turnpiked"], "--config", node.config_path]
            for words in ([*run, "--make-dev-certs", pair.pki], [*run, "--write-sidecar"],
                          ["/usr/sbin/kamailio", "-c", "-f",
                           node.folder / "sidecar" / "kamailio.cfg"]):
                done = subprocess.run(list(map(str, words)), capture_output=True, text=True,
                                      check=False)
                expect(done.returncode == 0, f"{node.role} {number}: {words}: {done.stdout[-600:]}"
                                             f"{done.stderr[-1500:]}")


@case.case
def a_registration_crosses_the_zone(scratch):
    pair = Pair(scratch)
    stranger = pair.connect()
    answer = edges.register(stranger, "alice", "wrong", domain=DOMAIN)
    expect(answer.status in (401, 403) and not pair.paths(), answer.start)
    pair.client("alice", more=(
        ("Path", "<sip:10.30.0.10;lr>"), ("Record-Route", "<sip:10.30.0.10;lr>"),
        ("P-Turnpike-Client", f"{FORGED}/192.0.2.1/f")))
    paths = pair.paths()
    expect(len(paths) == 1 and "@edge.invalid;lr;tm=s>" in paths[0] and "10.30" not in paths[0]
           and FORGED not in paths[0], paths)
    pair.client("bob", place="nat")
    expect(len(pair.paths()) == 2, "both are known")
    expect(not list((pair.edge.folder / "sidecar").rglob("subscriber")),
           "the edge has a table of users")
    expect(pair.net.firewall_counters()["from_edge_new"] == 0, "the edge began something")


@case.case
def without_a_core_clients_are_told_at_once(scratch):
    pair = Pair(scratch)
    alice = pair.client("alice")
    for take_away, bring_back in ((pair.core.kill_kamailio, pair.core.start_kamailio),
                                  (pair.core.kill_daemon, pair.core.start_daemon)):
        take_away()
        eventually(lambda: pair.edge.refusals("refused_servers") is not None, "it counts")
        before = pair.edge.refusals("refused_servers")
        sip.request(alice, "INVITE", uri(NUMBER), uri("alice"), user="alice",
                    body=edges.outside_sdp())
        answer = alice.final(timeout=5, method="INVITE")
        expect(answer.status == 503 and answer.first("retry-after"), answer.start)
        expect(pair.edge.refusals("refused_servers") == before + 1, "it is counted")
        answer = edges.register(alice, "alice", pair.pair.password, domain=DOMAIN)
        expect(answer.status == 503, answer.start)
        bring_back()
        def back():
            return edges.register(alice, "alice", pair.pair.password, domain=DOMAIN).status == 200
        eventually(back, "the core is there again", 20, 0.3)
    expect(pair.net.firewall_counters()["from_edge_new"] == 0, "the edge began something")


def hang_up(side, other, request="BYE"):
    """`side`, a sip.Call, ends the call; `other` is an agent."""
    side.request(request)
    sip.reply(other, other.expect(request), 200, "OK")
    expect(side.agent.final(method=request).status == 200, f"{request} is answered")


def passes(commands):
    """The relay's names of the calls that were offered."""
    return {command["call-id"] for command in commands}


@case.case
def a_call_from_outside_is_made_known_to_both_relays(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    sent = pair.invite(alice, "alice", uri(NUMBER), edges.outside_sdp(), extra=[
        ("Record-Route", "<sip:10.30.0.10:5099;lr>"), ("P-Asserted-Identity", f"<{uri('alice')}>")])
    asked = desk.expect("INVITE")
    expect(asked.all("p-asserted-identity") == [f"<{uri('alice')}>"]
           and not asked.first("p-turnpike-client") and "RTP/AVP" in asked.body, str(asked.headers))
    expect(not any("5099" in route for route in asked.all("record-route")), "a client is no proxy")
    offer, = pair.offers("edge")
    expect(offer["direction"] == ["outside", "dmz/core-1"], offer)
    expect(not {"transport-protocol", "rtcp-mux", "ICE"} & set(offer), f"keys pass: {offer}")
    offer, = pair.offers("core")
    expect(offer["direction"] == ["dmz/edge-1", "inside"] and offer["ICE"] == "remove"
           and offer["transport-protocol"] == "RTP/AVP", offer)
    sip.reply(desk, asked, 180, "Ringing", NUMBER, to_tag="desk")
    alice.expect(180)
    sip.reply(desk, asked, 200, "OK", NUMBER, edges.inside_sdp(), to_tag="desk")
    answer = alice.final(method="INVITE")
    expect(answer.status == 200 and "RTP/SAVP" in answer.body, answer.start)
    caller = edges.caller_side(alice, "alice", sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    desk.expect("ACK")
    called = edges.called_side(desk, NUMBER, asked, "desk")
    for side, other, mode in ((caller, desk, "sendonly"), (called, alice, "sendrecv")):
        body = edges.outside_sdp(direction=mode) if side is caller else edges.inside_sdp()
        answered = edges.inside_sdp() if side is caller else edges.outside_sdp()
        again = side.request("INVITE", body)
        held = other.expect("INVITE")
        sip.reply(other, held, 200, "OK", "x", answered)
        expect(side.agent.final(method="INVITE").status == 200, "a new offer is answered")
        side.request("ACK", cseq=int(again.first("cseq").split()[0]))
        other.expect("ACK")
    expect(pair.of("edge", "offer")[-1]["direction"] == ["dmz/core-1", "outside"], "turned round")
    hang_up(called, alice)
    for role in ("edge", "core"):
        eventually(lambda: pair.of(role, "delete"), f"the {role} gives its ports back")
        expect(not pair.offers(role), f"one call for the {role}'s relay")


@case.case
def a_call_from_inside_finds_the_connection(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    sent = sip.request(desk, "INVITE", uri("alice"), uri(NUMBER), user=NUMBER,
                       body=edges.inside_sdp())
    asked = alice.expect("INVITE")
    expect("RTP/SAVP" in asked.body and not asked.first("route"), str(asked.headers))
    offer, = pair.offers("core")
    expect(offer["direction"] == ["inside", "dmz/edge-1"] and "ICE" not in offer
           and offer["transport-protocol"] == "RTP/SAVP", offer)
    offer, = pair.offers("edge")
    expect(offer["direction"] == ["dmz/core-1", "outside"] and offer["ICE"] == "remove"
           and "transport-protocol" not in offer and "rtcp-mux" not in offer, offer)
    sip.reply(alice, asked, 200, "OK", "alice", edges.outside_sdp(), to_tag="alice")
    answer = desk.final(method="INVITE")
    expect(answer.status == 200 and "RTP/AVP" in answer.body, answer.start)
    caller = edges.caller_side(desk, NUMBER, sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    alice.expect("ACK")
    hang_up(edges.called_side(alice, "alice", asked, "alice"), desk)
    for role in ("edge", "core"):
        eventually(lambda: pair.of(role, "delete"), f"the {role} gives its ports back")


@case.case
def a_call_between_clients_passes_the_edge_twice(scratch):
    pair = Pair(scratch)
    alice, bob = pair.client("alice"), pair.client("bob", place="nat")
    sent = pair.invite(alice, "alice", uri("bob"), edges.outside_sdp())
    asked = bob.expect("INVITE")
    directions = [offer["direction"] for offer in pair.offers("edge")]
    expect(directions == [["outside", "dmz/core-1"], ["dmz/core-1", "outside"]], directions)
    offer, = pair.offers("core")
    expect(offer["direction"] == ["dmz/edge-1", "dmz/edge-1"]
           and offer["transport-protocol"] == "RTP/SAVP", offer)
    expect(len(passes(pair.offers("edge"))) == 2, "two calls for the edge's relay")
    sip.reply(bob, asked, 200, "OK", "bob", edges.outside_sdp(), to_tag="bob")
    answer = alice.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    caller = edges.caller_side(alice, "alice", sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    bob.expect("ACK")
    hang_up(edges.called_side(bob, "bob", asked, "bob"), alice)
    eventually(lambda: not pair.offers("edge"), "both are given back")


@case.case
def a_call_is_cancelled_or_declined_over_the_zone(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    for caller, called in ((alice, desk), (desk, alice)):
        if caller is alice:
            sent = pair.invite(alice, "alice", uri(NUMBER), edges.outside_sdp())
        else:
            sent = sip.request(desk, "INVITE", uri("alice"), uri(NUMBER), user=NUMBER,
                               body=edges.inside_sdp())
        asked = called.expect("INVITE")
        sip.reply(called, asked, 180, "Ringing", to_tag="x")
        caller.expect(180)
        headers = [(name, sent.first(name)) for name in ("Via", "From", "To", "Call-ID")]
        number = sent.first("cseq").split()[0]
        caller.send(sip.build(f"CANCEL {sent.uri} SIP/2.0", headers + [
            ("Max-Forwards", "70"), ("CSeq", f"{number} CANCEL")]))
        sip.reply(called, called.expect("CANCEL"), 200, "OK")
        sip.reply(called, asked, 487, "Request Terminated", to_tag="x")
        answer = caller.final(method="INVITE")
        expect(answer.status == 487, answer.start)
        sip.acknowledge(caller, sent, answer)
    sent = pair.invite(alice, "alice", uri(NUMBER), edges.outside_sdp())
    sip.reply(desk, desk.expect("INVITE"), 486, "Busy Here")
    answer = alice.final(method="INVITE")
    expect(answer.status == 486, answer.start)
    sip.acknowledge(alice, sent, answer)
    for role in ("edge", "core"):
        eventually(lambda: passes(pair.of(role, "delete")) == passes(pair.of(role, "offer")),
                   f"the {role} gives all ports back")


@case.case
def media_in_clear_is_refused_by_each_node_for_itself(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    clear = sip.sdp("192.168.7.10", 40000, "RTP/AVP")
    sip.request(alice, "INVITE", uri(NUMBER), uri("alice"), user="alice", body=clear)
    answer = alice.final(method="INVITE")
    expect(answer.status == 488 and not pair.of("edge", "offer"), answer.start)
    # What an edge in somebody else's hands could send with alice's password.
    edge = pair.stream("edge")
    vouched = [("P-Turnpike-Client", f"{FORGED}/192.0.2.1/s")]
    pair.invite(edge, "alice", uri(NUMBER), clear, extra=vouched)
    answer = edge.final(method="INVITE")
    expect(answer.status == 488 and not pair.of("core", "offer"), answer.start)
    # And a core that sends it to a client.
    way = pair.paths()[0].partition("<sip:")[2].partition("@")[0]
    core = pair.stream("core")
    sip.request(core, "INVITE", "sip:alice@192.168.7.10", uri(NUMBER), body=clear,
                extra=[("Route", f"<sip:{way}@edge.invalid;lr;tm=s>")])
    answer = core.final(method="INVITE")
    expect(answer.status == 488 and not pair.of("edge", "offer"), answer.start)
    # An answer in clear does not get through either.
    sent = sip.request(desk, "INVITE", uri("alice"), uri(NUMBER), user=NUMBER,
                       body=edges.inside_sdp())
    sip.reply(alice, alice.expect("INVITE"), 200, "OK", "alice", clear, to_tag="alice")
    answer = desk.final(method="INVITE")
    expect(answer.status == 200 and "m=" not in answer.body, answer.body)
    sip.acknowledge(desk, sent, answer)


@case.case
def an_edge_in_other_hands_cannot_do_without_passwords(scratch):
    pair = Pair(scratch)
    pair.desk()
    edge = pair.stream("edge")
    vouched = [("P-Turnpike-Client", f"{FORGED}/192.0.2.1/s")]
    for user in ("alice", "mallory"):
        sip.request(edge, "INVITE", uri(NUMBER), uri(user), user=user, body=edges.outside_sdp(),
                    extra=vouched)
        expect(edge.final(method="INVITE").status == 407, "not asked for a password")
    sip.request(edge, "INVITE", "sip:1000@10.30.0.10:5060", uri("alice"), user="alice",
                body=edges.outside_sdp(), extra=vouched + [("Route", "<sip:10.30.0.10;lr>")])
    expect(edge.final(method="INVITE").status in (403, 407), "sent to where it wanted")
    expect(not pair.of("core", "offer"), "it got ports")
    pair.invite(edge, "alice", uri(NUMBER), edges.outside_sdp())
    answer = edge.final(method="INVITE")
    expect(answer.status == 403, f"of a connection that never registered: {answer.start}")


@case.case
def from_the_zone_only_clients_that_are_here_are_reached(scratch):
    pair = Pair(scratch)
    alice = pair.client("alice")
    core = pair.stream("core")
    way = pair.paths()[0].partition("<sip:")[2].partition("@")[0]
    remote = f"{alice.local[0]}~{alice.local[1]}~3"
    for target, routes in (
            (f"sip:alice@pair.test;alias={remote}", []),
            ("sip:x@127.0.0.1:7101;transport=tcp", []),
            ("sip:x@192.168.7.10:5060;transport=tcp", ["<sip:192.168.7.10:5060;lr>"]),
            ("sip:alice@pair.test", [f"<sip:{FORGED}@edge.invalid;lr;tm=s>"]),
            ("sip:alice@pair.test", ["<sip:127.0.0.1:7201;transport=tcp;lr>",
                                     f"<sip:{way}@edge.invalid;lr>"])):
        sip.request(core, "INVITE", target, uri(NUMBER), body=edges.outside_sdp(),
                    extra=[("Route", route) for route in routes])
        answer = core.final(method="INVITE")
        expect(answer.status == 480, f"{target} {routes}: {answer.start}")
    forged = f"<sip:127.0.0.1:7201;transport=tcp;lr;tp=0o-{'0' * 16}-{'0' * 40}>"
    sip.request(core, "BYE", "sip:alice@192.168.7.10", uri(NUMBER), to_tag="x",
                extra=[("Route", forged)])
    expect(core.final(method="BYE").status == 481, "a forged route set passed")
    sip.request(core, "REGISTER", f"sip:{DOMAIN}", uri("alice"), uri("alice"), user="alice")
    expect(core.final(method="REGISTER").status == 403, "an edge keeps no registrations")
    expect(not pair.of("edge", "offer"), "it got ports")
    alice.close()
    sip.request(core, "INVITE", "sip:alice@192.168.7.10", uri(NUMBER), body=edges.outside_sdp(),
                extra=[("Route", f"<sip:{way}@edge.invalid;lr;tm=s>")])
    def gone():
        answer = core.final(method="INVITE")
        return answer.status == 480
    expect(gone(), "a client that has left is told as such")


@case.case
def a_client_reaches_its_own_domain_and_nothing_else(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    for target in (f"sip:{NUMBER}@127.0.0.1:7101", f"sip:{NUMBER}@127.0.0.1:7201",
                   f"sip:{NUMBER}@10.30.0.10", "sip:x@edge.invalid", "sip:1000@other.example"):
        sent = sip.request(alice, "INVITE", target, uri("alice"), user="alice",
                           body=edges.outside_sdp(),
                           extra=[("Route", "<sip:127.0.0.1:7101;transport=tcp;lr>")])
        answer = alice.final(method="INVITE")
        expect(answer.status == 403, f"{target}: {answer.start}")
        sip.acknowledge(alice, sent, answer)
    pair.invite(alice, "alice", uri("00442079460000"), edges.outside_sdp())
    expect(alice.final(method="INVITE").status == 403, "a number without a route")
    stranger = pair.connect()
    sip.request(stranger, "INVITE", uri(NUMBER), uri("alice"), user="alice",
                body=edges.outside_sdp())
    expect(stranger.final(method="INVITE").status == 403, "a connection that has not registered")
    expect(not pair.of("core", "offer"), "the core gave ports")
    expect(not [message for message in desk.received if message.method == "INVITE"], "it rang")


@case.case
def a_client_is_offered_what_it_does(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    sent = pair.invite(alice, "alice", uri(NUMBER), edges.dtls_sdp(protocol="UDP/TLS/RTP/SAVPF"))
    asked = desk.expect("INVITE")
    sip.reply(desk, asked, 486, "Busy Here")
    sip.acknowledge(alice, sent, alice.final(method="INVITE"))
    sip.request(desk, "INVITE", uri("alice"), uri(NUMBER), user=NUMBER, body=edges.inside_sdp())
    asked = alice.expect("INVITE")
    offer = pair.of("core", "offer")[-1]
    expect(offer["transport-protocol"] == "UDP/TLS/RTP/SAVPF" and "ICE" not in offer, offer)
    offer = pair.of("edge", "offer")[-1]
    expect(offer["ICE"] == "force" and "transport-protocol" not in offer, offer)
    sip.reply(alice, asked, 486, "Busy Here")
    desk.final(method="INVITE")
    answer = edges.register(alice, "alice", pair.pair.password, domain=DOMAIN)
    expect(answer.status == 200 and ";tm=f>" in pair.paths()[-1], f"{pair.paths()}")


@case.case
def an_offer_may_follow_in_the_answer(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    sent = sip.request(desk, "INVITE", uri("alice"), uri(NUMBER), user=NUMBER)
    asked = alice.expect("INVITE")
    expect(not asked.body and not pair.of("core", "offer"), "no offer yet")
    sip.reply(alice, asked, 200, "OK", "alice", edges.outside_sdp(), to_tag="alice")
    answer = desk.final(method="INVITE")
    expect(answer.status == 200 and "RTP/AVP" in answer.body, answer.body)
    offer, = pair.offers("edge")
    expect(offer["direction"] == ["outside", "dmz/core-1"], offer)
    offer, = pair.offers("core")
    expect(offer["direction"] == ["dmz/edge-1", "inside"], offer)
    caller = edges.caller_side(desk, NUMBER, sent, answer)
    caller.request("ACK", edges.inside_sdp(), cseq=caller.cseq)
    expect("RTP/SAVP" in alice.expect("ACK").body, "the answer in the ACK")
    hang_up(edges.called_side(alice, "alice", asked, "alice"), desk)


@case.case
def a_relay_without_room_means_503(scratch):
    pair = Pair(scratch)
    alice, desk = pair.client("alice"), pair.desk()
    for role in ("edge", "core"):
        for refuse_delete, status in ((True, 503), (False, 488)):
            pair.relays[role].refusal = {"result": "error", "error-reason": "no"}
            pair.relays[role].refuse_delete = refuse_delete
            sent = sip.request(alice, "INVITE", uri(NUMBER), uri("alice"), user="alice",
                               body=edges.outside_sdp())
            answer = alice.final(method="INVITE")
            if answer.status == 407:
                sip.acknowledge(alice, sent, answer)
                header = sip.digest(answer, "INVITE", uri(NUMBER), "alice", pair.pair.password)
                sent = sip.again(alice, sent, [header])
                answer = alice.final(method="INVITE")
            expect(answer.status == status, f"{role} {status}: {answer.start}")
            expect(status == 488 or answer.first("retry-after"), f"{answer.headers}")
            sip.acknowledge(alice, sent, answer)
            pair.relays[role].refusal, pair.relays[role].refuse_delete = None, False
    expect(not [message for message in desk.received if message.method == "INVITE"], "it rang")


if __name__ == "__main__":
    case.run()
