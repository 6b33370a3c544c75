"""Several devices of one user, and devices that come and go, across a traversal pair."""

# time limit: 120 s

import edge as edges
import sip
from edge import case
from lib.case import eventually, expect
from sip_pair import BROWSERS, Pair, hang_up, passes, uri
from traversal import DOMAIN, NUMBER


@case.case
def a_browser_is_called_over_its_websocket(scratch):
    pair = Pair(scratch, edge=BROWSERS)
    browser, desk = pair.browser("alice"), pair.desk()
    expect(";tm=f>" in pair.paths()[0], pair.paths())
    sent = sip.request(desk, "INVITE", uri("alice"), uri(NUMBER), user=NUMBER,
                       body=edges.inside_sdp())
    asked = browser.expect("INVITE")
    offer, = pair.of("core", "offer")
    expect(offer["transport-protocol"] == "UDP/TLS/RTP/SAVPF" and "ICE" not in offer
           and offer["rtcp-mux"] == ["offer"], offer)
    offer, = pair.of("edge", "offer")
    expect(offer["ICE"] == "force" and "transport-protocol" not in offer, offer)
    sip.reply(browser, asked, 200, "OK", "alice", edges.dtls_sdp(), to_tag="alice")
    answer = desk.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    caller = edges.caller_side(desk, NUMBER, sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    browser.expect("ACK")
    hang_up(edges.called_side(browser, "alice", asked, "alice"), desk)


@case.case
def a_call_rings_every_device(scratch):
    pair = Pair(scratch, edge=BROWSERS)
    first, second = pair.client("alice"), pair.client("alice", place="nat")
    browser, desk = pair.browser("alice"), pair.desk()
    devices = (first, second, browser)
    for number, winner in enumerate(devices):
        before = {role: len(pair.of(role, "offer")) for role in ("edge", "core")}
        sent = sip.request(desk, "INVITE", uri("alice"), uri(NUMBER), user=NUMBER,
                           body=edges.inside_sdp())
        expect(all(map(_rings, devices)), "all ring at the same time")
        offers = pair.of("core", "offer")[before["core"]:]
        kinds = sorted(offer["transport-protocol"] for offer in offers)
        expect(kinds == ["RTP/SAVP", "RTP/SAVP", "UDP/TLS/RTP/SAVPF"] and len(passes(offers)) == 3,
               f"each is offered what it does: {kinds}")
        asked = winner.expect("INVITE")
        sip.reply(winner, asked, 200, "OK", "alice", _media_of(winner, browser), to_tag="w")
        for other in (other for other in devices if other is not winner):
            sip.reply(other, other.expect("CANCEL"), 200, "OK")
            sip.reply(other, other.expect("INVITE"), 487, "Request Terminated", to_tag="l")
        answer = desk.final(method="INVITE")
        expect(answer.status == 200, answer.start)
        caller = edges.caller_side(desk, NUMBER, sent, answer)
        caller.request("ACK", cseq=caller.cseq)
        winner.expect("ACK")
        for role in ("edge", "core"):
            eventually(lambda: len(pair.offers(role)) == 1, f"the {role} keeps one call")
        hang_up(*((caller, winner) if number else
                  (edges.called_side(winner, "alice", asked, "w"), desk)))
        for role in ("edge", "core"):
            eventually(lambda: not pair.offers(role), f"the {role} gives all ports back")


@case.case
def the_second_device_that_answers_has_no_media(scratch):
    pair = Pair(scratch)
    first, second = pair.client("alice"), pair.client("alice", place="nat")
    desk = pair.desk()
    sip.request(desk, "INVITE", uri("alice"), uri(NUMBER), user=NUMBER, body=edges.inside_sdp())
    asked = {agent: agent.expect("INVITE") for agent in (first, second)}
    media = {}
    for agent, tag in ((first, "one"), (second, "two")):
        sip.reply(agent, asked[agent], 200, "OK", "alice", edges.outside_sdp(), to_tag=tag)
        media[agent] = "m=" in desk.final(method="INVITE").body
    expect(media == {first: True, second: False}, f"{media}")
    expect(len(pair.offers("core")) == 1, "and the core's relay has one call")


@case.case
def a_client_that_changes_network_is_never_locked_out(scratch):
    pair = Pair(scratch, edge=BROWSERS)
    desk = pair.desk()
    # Gone without a word, each with a contact and a Call-ID of its own.
    for _ in range(6):
        pair.browser("alice").close()
        pair.client("alice").close()
    alice = pair.client("alice")
    expect(len(pair.paths()) == 10, f"the oldest have gone: {pair.paths()}")
    sent = sip.request(desk, "INVITE", uri("alice"), uri(NUMBER), user=NUMBER,
                       body=edges.inside_sdp())
    expect(_rings(alice), "dead contacts of other kinds hide nobody")
    eventually(lambda: len(pair.paths()) == 1, "what is not connected is forgotten")
    sip.reply(alice, alice.expect("INVITE"), 486, "Busy Here", to_tag="r")
    answer = desk.final(method="INVITE")
    expect(answer.status == 486, answer.start)
    sip.acknowledge(desk, sent, answer)
    for role in ("edge", "core"):
        eventually(lambda: not pair.offers(role), f"the {role} gives all ports back")
    alice.close()
    for method, body in (("INVITE", edges.inside_sdp()), ("MESSAGE", "")):
        for reason in ("Not Connected", "Not Registered"):
            sent = sip.request(desk, method, uri("alice"), uri(NUMBER), user=NUMBER, body=body)
            answer = desk.final(method=method)
            expect(answer.start == f"SIP/2.0 480 {reason}", f"{method}: {answer.start}")
            if method == "INVITE":
                sip.acknowledge(desk, sent, answer)
        pair.client("alice").close()
    _a_new_contact_replaces_its_own(pair)


def _a_new_contact_replaces_its_own(pair):
    def register(contact, **options):
        agent = pair.connect()
        answer = edges.register(agent, "bob", pair.pair.password, domain=DOMAIN,
                                contact=contact(agent), **options)
        expect(answer.status == 200, answer.start)
        return agent
    def phone(number, more=""):
        return lambda agent: (agent.contact("bob") +
                              f';+sip.instance="<urn:uuid:00000000-0000-4000-8000-{number:012}>"'
                              + more)
    def paths():
        return len(pair.paths())
    register(phone(1))
    register(phone(1))
    expect(paths() == 2, "the same device")
    register(phone(2))
    expect(paths() == 3, "another device")
    register(phone(3, ";reg-id=1"))
    register(phone(3, ";reg-id=2"))
    register(phone(3, ";reg-id=1"))
    expect(paths() == 5, "two flows of a third device")
    register(lambda agent: agent.contact("bob"), call_id="one")
    register(lambda agent: agent.contact("bob"), call_id="one", cseq=7)
    expect(paths() == 6, "the same Call-ID and name")
    register(lambda agent: agent.contact("bob"), call_id="two")
    expect(paths() == 7, "another one")
    expect(register(phone(2), expires=0) and paths() == 6, "who leaves takes nobody along")


def _rings(agent):
    """Whether an INVITE arrives; it stays there to be answered."""
    try:
        asked = agent.expect("INVITE", timeout=1.5)
    except AssertionError:
        return False
    sip.reply(agent, asked, 180, "Ringing", to_tag="r")
    agent.received.insert(0, asked)
    return True


def _media_of(agent, browser):
    return edges.dtls_sdp() if agent is browser else edges.outside_sdp()


@case.case
def a_contact_at_an_edge_that_is_away_hides_nobody(scratch):
    pair = Pair(scratch)
    with pair.core.sidecar_config_path.open("a") as file:
        file.write(f'[zone.dmz.peer.edge-2]\ntls_name = "edge-2.{DOMAIN}"\n'
                   'address = "192.0.2.99:7001"\n'
                   'sip_listen = "127.0.0.2:7101"\nsip_target = "127.0.0.2:7201"\n')
    pair.core.kill_kamailio()
    pair.core.start_kamailio()
    eventually(lambda: "dmz/core-1 is back" in pair.edge.log("kamailio"), "the core is back")
    # What that edge's clients had registered before it went.
    edge = sip.Agent(pair.place("core"), 0, "tcp")
    scratch.on_exit(edge.close)
    edge.connect(("127.0.0.2", 7201))
    def register_there(way):
        answer = edges.register(edge, "alice", pair.pair.password, domain=DOMAIN, contact=(
            f"<sip:{way}@192.0.2.1>"), more=(
                ("Path", f"<sip:{way}@edge.invalid;lr;tm=f>"),
                ("P-Turnpike-Client", f"{way}/192.0.2.1/f")))
        expect(answer.status == 200, answer.start)
    register_there("0123456789abcdef01234567")
    alice, desk = pair.client("alice"), pair.desk()
    register_there("76543210fedcba9876543210")
    expect(len(pair.paths()) == 3, pair.paths())
    for _ in range(2):
        sent = sip.request(desk, "INVITE", uri("alice"), uri(NUMBER), user=NUMBER,
                           body=edges.inside_sdp())
        expect(_rings(alice), "the one that can be reached")
        sip.reply(alice, alice.expect("INVITE"), 486, "Busy Here", to_tag="r")
        answer = desk.final(method="INVITE", timeout=5)
        expect(answer.status == 486, answer.start)
        sip.acknowledge(desk, sent, answer)
    for role in ("edge", "core"):
        eventually(lambda: not pair.offers(role), f"the {role} gives all ports back")


if __name__ == "__main__":
    case.run()
