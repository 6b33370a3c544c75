"""SIP across a traversal pair, with clients and phones written by hand."""

# time limit: 300 s

import os
import re
import signal
import subprocess
import time

import edge as edges
import sip
from edge import case
from lib.case import eventually, expect, note
from sip_pair import Pair, hang_up, passes, programs, uri
import traversal
from traversal import DOMAIN, NUMBER

FORGED = "0123456789abcdef01234567"


@case.case
def kamailio_takes_what_is_generated(scratch):
    net = traversal.Topology("tp-")  # names only
    browsers = {"sip": {"wss_port": 8443, "websocket_origins": ["https://phone.example.com"],
                        "outside_media": "dtls", "emergency_numbers": ["112"]}}
    upstream = {"sip": {"upstream": "sip:10.30.0.10:5080"}}
    identity = {"sip": {"peer_certificate_file": scratch.folder / "3/pki/traversal.pem",
                        "peer_private_key_file": scratch.folder / "3/pki/traversal.key"}}
    peers = (identity | {"sip.peer.partner": {"domains": ["partner.example"],
                                   "certificate_names": ["sip.partner.example"],
                                   "uri": "sip:198.51.100.7:5062;transport=tls"}},
             {"sip.peer.partner": {"domains": ["partner.example"]}} | upstream)
    other = {"sip": {key: str(path).replace("/3/", "/4/") for key, path in identity["sip"].items()}}
    silent_peers = (other | {"sip.peer.partner": {"domains": ["partner.example"],
                                          "certificate_names": ["sip.partner.example"]}},
                    {"sip.peer.partner": {"domains": ["partner.example"]}})
    inside_tls = {"sip": {"inside_tls_port": 5061, "certificate_file": scratch.folder / "c.pem",
                          "private_key_file": scratch.folder / "c.key",
                          "trust_file": scratch.folder / "c.pem"}}
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", scratch.folder / "c.key",
                    "-out", scratch.folder / "c.pem", "-subj", f"/CN={DOMAIN}", "-addext",
                    f"subjectAltName=DNS:{DOMAIN}"], check=True, capture_output=True)
    for number, (edge, core) in enumerate(((None, None), (browsers, upstream),
                                           (None, inside_tls), peers, silent_peers)):
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
        told = pair.edge.log("kamailio").count("dmz/core-1 is out of reach")
        take_away()
        eventually(lambda: pair.edge.log("kamailio").count("dmz/core-1 is out of reach") > told,
                   "it is noticed")
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


@case.case
def a_lost_core_is_followed_by_the_next(scratch):
    pair = Pair(scratch, cores=2)
    alice, bob = pair.client("alice"), pair.client("bob", place="nat")
    expect(len(pair.paths()) == 2, "the first core has both")
    def call():
        return pair.invite(alice, "alice", uri("bob"), edges.outside_sdp())
    call()
    sip.reply(bob, bob.expect("INVITE"), 486, "Busy Here")
    expect(alice.final(method="INVITE").status == 486, "the call got as far as bob")
    expect(pair.of("core", "offer") and not pair.of("core-2", "offer"), "by the first core")

    pair.core.kill_kamailio()
    began = time.monotonic()
    eventually(lambda: "dmz/core-1 is out of reach" in pair.edge.log("kamailio"), "it is noticed")
    answer = edges.register(bob, "bob", pair.pair.password, domain=DOMAIN)
    expect(answer.status == 200 and time.monotonic() - began < 2, answer.start)
    call()
    sip.reply(bob, bob.expect("INVITE"), 486, "Busy Here")
    expect(alice.final(method="INVITE").status == 486, "the call got as far as bob")
    expect(time.monotonic() - began < 2, "new calls go elsewhere within 2 s")
    expect(pair.of("core-2", "offer"), "by the second core")
    offer = [one for one in pair.of("edge", "offer") if one["direction"][0] == "outside"][-1]
    expect(offer["direction"] == ["outside", "dmz/core-2"], offer)


@case.case
def a_core_that_says_nothing_is_followed_by_the_next(scratch):
    pair = Pair(scratch, cores=2)
    alice, desk = pair.client("alice"), pair.desk()
    # Not dead: its SIP server takes what it is sent and never says anything.
    for pid in pair.processes_of(pair.core):
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    sent = sip.request(alice, "INVITE", uri(NUMBER), uri("alice"), user="alice",
                       body=edges.outside_sdp())
    challenge = alice.final(timeout=5, method="INVITE")
    took = time.monotonic() - began
    expect(challenge.status == 407 and 1 < took < 4, f"{challenge.start} after {took:.1f} s")
    offers = [offer["direction"][1] for offer in pair.of("edge", "offer")]
    expect(offers == ["dmz/core-1", "dmz/core-2"], offers)
    expect(len(pair.of("edge", "delete")) >= 1, "what was for the first core is given back")
    sip.acknowledge(alice, sent, challenge)
    expect(not [message for message in desk.received if message.method == "INVITE"], "it rang")
    # Where all are silent, each has been asked once.
    for pid in pair.processes_of(pair.pair.cores[1]):
        os.kill(pid, signal.SIGSTOP)
    known = len(offers)
    sip.request(alice, "INVITE", uri(NUMBER), uri("alice"), user="alice", body=edges.outside_sdp())
    expect(alice.final(timeout=12, method="INVITE").status == 503, "no core answers")
    offers = [offer["direction"][1] for offer in pair.of("edge", "offer")[known:]]
    expect(offers and len(set(offers)) == len(offers), f"asked twice: {offers}")


@case.case
def what_a_core_has_answered_is_not_tried_at_the_next(scratch):
    pair = Pair(scratch, cores=2)
    alice, desk = pair.client("alice"), pair.desk()
    pair.invite(alice, "alice", uri(NUMBER), edges.outside_sdp())
    sip.reply(desk, desk.expect("INVITE"), 503, "Service Unavailable")
    answer = alice.final(timeout=5, method="INVITE")
    expect(answer.status in (500, 503), answer.start)
    offers = [offer["direction"][1] for offer in pair.of("edge", "offer")]
    expect(set(offers) == {"dmz/core-1"}, offers)


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
    # Nor guess them: whatever networks it names, this edge has so many tries for a user.
    statuses = []
    for number in range(104):
        client = [("P-Turnpike-Client", f"{FORGED}/192.0.2.{number}/s")]
        answer = edges.register(edge, "bob", "guessed", domain=DOMAIN, more=client)
        statuses.append(answer.status)
    expect(statuses[:100] == [401] * 100 and statuses[-1] == 403, f"guessed: {statuses}")


@case.case
def wrong_passwords_fill_no_memory_and_lock_out_no_other_side(scratch):
    pair = Pair(scratch)
    pair.core.kill_kamailio()
    generated = re.search(r"FAILURE_COUNTERS \d+",
                          (pair.core.folder / "sidecar" / "kamailio.cfg").read_text())[0]
    # So few of each kind that all are soon in use.
    pair.core.start_kamailio((generated, "FAILURE_COUNTERS 8"))
    eventually(lambda: "dmz/core-1 is back" in pair.edge.log("kamailio"), "the core is back")
    alice, inside = pair.client("alice"), pair.connect_inside()
    edge, long_name = pair.stream("edge"), "x" * 2000
    def guess(number):
        client = [("P-Turnpike-Client", f"{FORGED}/192.0.2.{number % 250}/s")]
        return edges.register(edge, f"{long_name}{number}", "guessed", domain=DOMAIN,
                              more=client).status
    statuses = [guess(number) for number in range(400)]
    expect(statuses[0] == 401 and statuses[-5:] == [403] * 5, f"all are over: {statuses[-9:]}")
    remembered = pair.remembered("core", "failures")
    expect(30 < remembered <= 50, f"{remembered} are remembered")
    # Strangers over this edge have to wait, whom no edge can choose; nobody else has.
    answer = edges.register(pair.connect("nat"), "bob", pair.pair.password, domain=DOMAIN)
    expect(answer.status == 403, f"not counted at all: {answer.start}")
    answer = edges.register(inside, "bob", pair.pair.password, domain=DOMAIN)
    expect(answer.status == 200, f"locked out by another side: {answer.start}")
    answer = edges.register(alice, "alice", pair.pair.password, domain=DOMAIN)
    expect(answer.status == 200, f"locked out on her own connection: {answer.start}")
    # There she is counted alone.
    statuses = [edges.register(alice, "alice", "guessed", domain=DOMAIN).status for _ in range(25)]
    expect(statuses[:20] == [401] * 20 and statuses[-1] == 403, f"guessed: {statuses}")


def _counters_over(pair, row):
    """Of users from a network over the edge: how many counters of that row refuse."""
    dump = pair.core.sip("htable.dump", "failures")
    found = re.findall(rf"name: u{row}\S+\s+value: (\d+)", dump)
    expect(found, dump[:400])
    return sum(int(value) > 10 for value in found)


@case.case
def one_site_fills_few_counters_and_many_fill_as_many_as_is_written(scratch):
    """With the generated numbers of counters: what share of strangers has to wait."""
    pair = Pair(scratch)
    generated = (pair.core.folder / "sidecar" / "kamailio.cfg").read_text()
    counters, most = (int(re.search(rf"{name} (\d+)", generated)[1])
                      for name in ("FAILURE_COUNTERS", "SITE_FAILURES_MAX"))
    edge = pair.stream("edge")
    def guess(network, user):
        client = [("P-Turnpike-Client", f"{FORGED}/{network}/s")]
        return edges.register(edge, user, "guessed", domain=DOMAIN, more=client).status
    # Eleven for each invented name, five names of a /64: all of one /48.
    statuses = [guess(f"2001:db8:7:{number // 55 + 1:x}::", f"a{number // 11}")
                for number in range(most + 300)]
    refused = statuses.index(403)
    expect(refused >= most and set(statuses[refused:]) == {403}, f"{refused}: {statuses[-3:]}")
    over = _counters_over(pair, 1), _counters_over(pair, 2)
    share = over[0] * over[1] / counters ** 2
    note(f"one /48: {over} of {counters} counters are over, {share:.7f} of strangers have to wait")
    expect(0 < max(over) <= most / 11 + 1, f"{over}")
    # From so many that none of them is over: each name that has failed eleven times fills one.
    for number in range(550):
        guess(f"2001:db8:{number // 55 + 16:x}:1::", f"b{number // 11}")
    more = _counters_over(pair, 1) - over[0]
    note(f"50 names of ten more: {more} more counters are over")
    expect(47 <= more <= 50, f"{more}")
    answer = edges.register(pair.connect("nat"), "bob", pair.pair.password, domain=DOMAIN)
    expect(answer.status == 200, f"locked out by a far site: {answer.start}")


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
        expect(answer.status == 430, f"{target} {routes}: {answer.start}")
    forged = f"<sip:127.0.0.1:7201;transport=tcp;lr;tp={'0' * 16}-o-{'0' * 16}-{'0' * 40}>"
    sip.request(core, "BYE", "sip:alice@192.168.7.10", uri(NUMBER), to_tag="x",
                extra=[("Route", forged)])
    expect(core.final(method="BYE").status == 481, "a forged route set passed")
    sip.request(core, "REGISTER", f"sip:{DOMAIN}", uri("alice"), uri("alice"), user="alice")
    expect(core.final(method="REGISTER").status == 403, "an edge keeps no registrations")
    expect(not pair.of("edge", "offer"), "it got ports")
    alice.close()
    eventually(lambda: "192.168.7.10" not in pair.edge.sip("core.tcp_list")
               and "198.51.100.7" not in pair.edge.sip("core.tcp_list"), "the edge notices")
    sip.request(core, "INVITE", "sip:alice@192.168.7.10", uri(NUMBER), body=edges.outside_sdp(),
                extra=[("Route", f"<sip:{way}@edge.invalid;lr;tm=s>")])
    def gone():
        answer = core.final(method="INVITE")
        return answer.status == 430
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
