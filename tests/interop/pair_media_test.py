"""Media through a traversal pair, asked for over NG at both nodes: clients on libsrtp2 outside the
edge, plain or SRTP phones inside, and between the nodes a firewall that lets nothing in.
"""

import subprocess

from lib.call import Call, Side
from lib.capture import Capture
from lib.case import ROOT, case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE
from lib.ng import NgError
from lib.pair import CORE, CORE_V6, EDGE, EDGE_V6, Pair
from lib.peer import Peer, expect_clean
from lib.wire_proof import WireProof

CM = "AES_CM_128_HMAC_SHA1_80"
GCM = "AEAD_AES_256_GCM"


def _connect(call, outside, inside):
    for side in (call.a, call.b):
        (outside if side.place is OUTSIDE else inside).add(
            side, 70000 + side.port, 70000 + (call.b if side is call.a else call.a).port)


def _heard(peers, packets, rtcp=2):
    eventually(lambda: all(leg["received"] >= packets and leg["received_rtcp"] >= rtcp
                           for peer in peers for leg in peer.report().values()),
               lambda: f"every leg hears {packets} packets: {[peer.report() for peer in peers]}")


def _calls(scratch, sides, pair=None):
    """A pair with these calls up and their media judged."""
    pair = (pair or Pair(scratch).add_ends()).start()
    pair.wait_flows()
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    made = [Call(pair.ng, a, b).set_up() for a, b in sides]
    for call in made:
        _connect(call, outside, inside)
    outside.start()
    inside.start()
    _heard((outside, inside), 50)
    return pair, made, outside, inside


@case
def calls_of_both_directions_have_media_and_the_firewall_lets_nothing_in(scratch):
    pair, made, outside, inside = _calls(scratch, [
        (Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000)),
        (Side(INSIDE, 20002), Side(OUTSIDE, 30002, (GCM,))),
        (Side(OUTSIDE, 30004, (CM,), mux=True), Side(INSIDE, 20004)),
        (Side(OUTSIDE, 30006, (GCM,)), Side(INSIDE, 20006, (CM,))),
    ])
    expect_clean(outside, inside)
    for call in made:
        client = call.a if call.a.place is OUTSIDE else call.b
        expect(client.given.address == EDGE, f"the client sends to {client.given.address}")
        expect(36012 <= client.given.port <= 59999, f"to port {client.given.port}")
        phone = call.b if client is call.a else call.a
        expect(phone.given.address == CORE, f"the phone sends to {phone.given.address}")
    expect(pair.dropped_from_edge() == 0, "the edge has sent what is no reply")
    text = pair.edge.session_text(made[0].call_id + "-in")
    expect("dmz/core1, over the zone, SRTP of others, passed on (signalling-sees-keys)" in text,
           text)
    for call in made:
        call.delete()
    for node in (pair.edge, pair.core):
        eventually(lambda node=node: node.metric("turnpike_relay_sessions") == 0,
                   f"{node.role} ends the sessions")


def _proof(capture):
    proof = WireProof()
    for frame in capture.frames():
        proof.see(frame)
    return proof


def _mixed(scratch, zone_in_v6, sides):
    pair, made, outside, inside = _calls(
        scratch, sides, Pair(scratch).add_ends().add_v6(for_zone=zone_in_v6))
    expect_clean(outside, inside)
    for side in (side for call in made for side in (call.a, call.b)):
        ours = {(OUTSIDE, 4): EDGE, (OUTSIDE, 6): EDGE_V6, (INSIDE, 4): CORE,
                (INSIDE, 6): CORE_V6}[side.place, side.version]
        expect(side.given.address == ours, f"{side.place.name} sends to {side.given.address}")
    flow, = pair.edge.peer()["flows"]
    expect((CORE_V6 if zone_in_v6 else CORE) in flow["address"], f"flow: {flow}")
    expect(pair.dropped_from_edge() == 0, "the edge has sent what is no reply")
    return pair, outside, inside


@case
def both_families_go_over_a_zone_in_ipv6(scratch):
    pair, outside, inside = _mixed(scratch, True, [
        (Side(OUTSIDE, 30000, (CM,), version=6), Side(INSIDE, 20000, version=6)),
        (Side(OUTSIDE, 30002, (GCM,)), Side(INSIDE, 20002, version=6)),
        (Side(INSIDE, 20004, version=6), Side(OUTSIDE, 30004, (CM,), mux=True)),
        (Side(INSIDE, 20006), Side(OUTSIDE, 30006, (CM,), version=6)),
    ])
    pair.flush_firewall()
    before = [peer.total("received") for peer in (outside, inside)]
    eventually(lambda: all(peer.total("received") > had + 100
                           for peer, had in zip((outside, inside), before)),
               "media goes on when the firewall has forgotten the flow")


@case
def both_families_go_over_a_zone_in_ipv4(scratch):
    _mixed(scratch, False, [
        (Side(OUTSIDE, 30000, (CM,), version=6), Side(INSIDE, 20000)),
        (Side(INSIDE, 20002, version=6), Side(OUTSIDE, 30002, (GCM,), version=6)),
        (Side(OUTSIDE, 30004, (GCM,)), Side(INSIDE, 20004, (CM,), version=6)),
    ])


@case
def nothing_clear_is_on_either_hop(scratch):
    pair = Pair(scratch).add_ends()
    with Capture("tp-o") as outer, Capture("tp-e") as inner, Capture("tp-i") as phone:
        _calls(scratch, [(Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000)),
                         (Side(INSIDE, 20002), Side(OUTSIDE, 30002, (GCM,)))], pair)
    for name, capture, streams in (("client to edge", outer, 4), ("edge to all", inner, 8)):
        proof = _proof(capture)
        expect(proof.streams == streams, f"{name}: {proof.streams} streams seen")
        expect(not proof.findings(), f"{name}: {proof.findings()}")
    # The judge itself: what the phones inside say is plain.
    expect(len(_proof(phone).findings()) == 4, f"inside: {_proof(phone).findings()}")


@case
def wire_proof_tells_clear_from_encrypted(scratch):
    _calls(scratch, [(Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000))])
    tool = ROOT / "tests" / "interop" / "wire-proof"
    for interfaces, code in ((("tp-o", "tp-e"), 0), (("tp-o", "tp-i"), 1), (("lo",), 2)):
        done = subprocess.run([tool, "--seconds", "2", *interfaces], capture_output=True,
                              text=True, check=False)
        expect(done.returncode == code, f"{interfaces}: {done.returncode} {done.stdout}"
                                        f"{done.stderr}")
        expect(("CLEAR" in done.stdout) == (code == 1), done.stdout)


@case
def media_goes_on_over_restarts_of_either_node(scratch):
    pair = Pair(scratch, holders=True).add_ends().start()
    pair.wait_flows()
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    call = Call(pair.ng, Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000)).set_up()
    _connect(call, outside, inside)
    outside.start()
    inside.start()
    _heard((outside, inside), 50)
    for node in (pair.edge, pair.core, pair.edge):
        node.kill()
        node.start()
        pair.wait_up()
        pair.wait_flows()
        before = [peer.total("received") for peer in (outside, inside)]
        eventually(lambda: all(peer.total("received") > had + 100
                               for peer, had in zip((outside, inside), before)),
                   lambda: f"media after {node.role} came back: {outside.report()} "
                           f"{inside.report()} {pair.edge.text()} {pair.core.text()}", 20)
    expect(pair.dropped_from_edge() == 0, "the edge has sent what is no reply")


@case
def media_goes_on_without_the_zone_connection(scratch):
    pair, _, outside, inside = _calls(
        scratch, [(Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000))])
    pair.close_zone()
    eventually(lambda: not pair.edge.is_up() and not pair.core.is_up(), "the zone is down", 30)
    before = [peer.total("received") for peer in (outside, inside)]
    eventually(lambda: all(peer.total("received") > had + 500
                           for peer, had in zip((outside, inside), before)), "media goes on", 20)
    expect_clean(outside, inside)
    pair.open_zone()
    pair.wait_up(40)
    expect_clean(outside, inside)


@case
def a_firewall_that_forgets_costs_a_moment(scratch):
    pair, _, outside, inside = _calls(
        scratch, [(Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000))])
    pair.flush_firewall()
    before = [peer.total("received") for peer in (outside, inside)]
    eventually(lambda: all(peer.total("received") > had + 100
                           for peer, had in zip((outside, inside), before)), "media goes on")


@case
def a_core_whose_nat_gives_it_another_port_is_found_again(scratch):
    pair = Pair(scratch).add_ends().nat_of_core("50000-50099")
    pair.flush_firewall()  # of the flows of an earlier pair, which had no NAT
    _, made, outside, inside = _calls(
        scratch, [(Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000))], pair)

    def port():
        flow, = pair.edge.peer()["flows"]
        address, _, number = flow["address"].rpartition(":")
        expect(address == "192.0.2.1", f"the core is behind the NAT: {flow}")
        return int(number)

    expect(50000 <= port() <= 50099, f"{port()}")
    pair.nat_of_core("51000-51099").flush_firewall()
    eventually(lambda: port() >= 51000, "the edge knows the new port", 10)
    before = [peer.total("received") for peer in (outside, inside)]
    eventually(lambda: all(peer.total("received") > had + 100
                           for peer, had in zip((outside, inside), before)), "media goes on")
    expect_clean(outside, inside, lost_max=250)
    made[0].delete()


@case
def nodes_may_have_different_numbers_of_shards(scratch):
    pair = Pair(scratch).add_ends().with_shards(edge=2, core=3)
    _, made, outside, inside = _calls(scratch, [
        (Side(OUTSIDE, 30000 + 4 * number, (CM,)), Side(INSIDE, 20000 + 4 * number))
        for number in range(6)], pair)
    expect_clean(outside, inside)
    flows = pair.core.peer()["flows"]
    expect({flow["core_shard"] for flow in flows} == {0, 1, 2}, f"a flow of each shard: {flows}")
    for node in (pair.edge, pair.core):
        used = {number for number in range(node.shards)
                if node.metric("turnpike_relay_packets_forwarded_total", shard=str(number)) > 50}
        expect(len(used) == node.shards, f"{node.role}: media on the shards {used} only")
    for call in made:
        call.delete()


@case
def strangers_move_nothing_but_counters(scratch):
    pair, made, outside, inside = _calls(
        scratch, [(Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000))])
    client = made[0].a.given
    pair.spray([client.port, *range(36000, 36012)], 200)
    _heard((outside, inside), 200)
    expect_clean(outside, inside)
    drops = pair.edge.drops()
    expect(sum(drops.get(name, 0) for name in ("flow_tag", "flow_unknown", "flow_malformed",
                                               "flow_binding")) > 500, f"drops: {drops}")


@case
def plain_rtp_is_refused_at_both_nodes(scratch):
    pair = Pair(scratch).add_ends().start()
    pair.wait_flows()
    for first, a, b in ((pair.edge, Side(OUTSIDE, 30000), Side(INSIDE, 20000)),
                        (pair.core, Side(INSIDE, 20000), Side(OUTSIDE, 30000))):
        try:
            Call(pair.ng, a, b).offer()
            expect(False, f"{first.role} took plain RTP towards the zone")
        except NgError as refused:
            expect("must be SRTP" in str(refused), refused)
    expect(pair.edge.metric("turnpike_relay_sessions") == 0, "a session is left")


@case
def a_zone_that_requires_dtls_takes_no_keys_that_its_edge_would_see(scratch):
    pair = Pair(scratch).add_ends()
    for node in (pair.edge, pair.core):
        node.configure({"require_dtls": True})
    pair.start()
    pair.wait_flows()
    for first, a, b in ((pair.edge, Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000)),
                        (pair.core, Side(INSIDE, 20000), Side(OUTSIDE, 30000, (CM,)))):
        call = Call(pair.ng, a, b)
        try:
            call.set_up()
            expect(False, f"{first.role} took keys of an SDP")
        except NgError as refused:
            expect("require_dtls" in str(refused), refused)
        call.delete()
    expect(pair.edge.metric("turnpike_relay_sessions") == 0, "a session is left")


@case
def without_flows_calls_are_refused_with_the_reason(scratch):
    pair = Pair(scratch).add_ends()
    pair.close_flows()
    pair.start()
    try:
        Call(pair.ng, Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000)).offer()
        expect(False, "a call without a way for its media was taken")
    except NgError as refused:
        expect("no media can go to dmz/core1" in str(refused), refused)
    eventually(lambda: "no media can go to dmz/core1" in pair.edge.log_text(),
               lambda: "the reason is in the log: " + pair.edge.log_text()[-500:])


if __name__ == "__main__":
    run()
