"""Security IDs of docs/security.md on real sockets, against a daemon with its default settings,
but for plain RTP, which is allowed outside where a case is about it."""

import socket
import subprocess

from lib.call import Call, Side
from lib.case import ROOT, case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, STRANGER, topology
from lib.ng import NgError
from lib.peer import Peer, connect, expect_clean
from lib.rtp import RtpSocket, packet, receiver_report, sequence_of
from lib.turnpiked import Turnpiked

CM = "AES_CM_128_HMAC_SHA1_80"
GCM = "AEAD_AES_128_GCM"


def _start(scratch, sections=None):
    scratch.enter(topology())
    return Turnpiked(scratch, sections)


def _srtp_call(scratch, suite=CM, sections=None):
    """A call with SRTP outside; its outside leg makes packets that a case sends as it likes, its
    inside end is a plain socket."""
    daemon = _start(scratch, sections)
    call = Call(daemon.ng, Side(OUTSIDE, 30000, (suite,)), Side(INSIDE, 20000)).set_up()
    forge = Peer(scratch, OUTSIDE)  # binds the media ports and holds the keys
    leg = forge.add(call.a, 111111, 222222)
    return daemon, call, forge, leg, RtpSocket(scratch, call.b)


def _settled(daemon, packets):
    """Waits until the daemon has looked at this many packets."""
    eventually(lambda: daemon.total("turnpike_relay_packets_received_total") >= packets,
               lambda: f"{packets} packets are read")


@case
def M1_stranger_does_not_get_media_of_a_plain_leg(scratch):
    daemon = _start(scratch)
    call = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
    client, far = RtpSocket(scratch, call.a), RtpSocket(scratch, call.b)
    stranger = RtpSocket(scratch, call.a, place=STRANGER)
    other_port = RtpSocket(scratch, call.a, port=30500)
    for sequence in range(100):
        stranger.send(packet(sequence))
        other_port.send(packet(sequence))
        stranger.send(receiver_report(), call.a.given.rtcp)
    _settled(daemon, 300)
    expect(not far.drain(), "a stranger's packets were forwarded")
    expect(daemon.drops().get("wrong_source") == 300, f"drops {daemon.drops()}")
    for sequence in range(20):
        far.send(packet(sequence))
    expect(client.receive(), "the client hears nothing")
    eventually(lambda: daemon.total("turnpike_relay_packets_forwarded_total") >= 20,
               "20 are forwarded")
    expect(not stranger.drain() and not other_port.drain(), "media went to a stranger")


@case
def M1_raced_copy_does_not_move_an_srtp_leg(scratch):
    """A stranger who sees every packet sends a copy of each, sooner than the original arrives."""
    daemon, call, forge, leg, far = _srtp_call(scratch)
    stranger = RtpSocket(scratch, call.a, place=STRANGER)
    own = Call(daemon.ng, Side(OUTSIDE, 30400, (CM,)), Side(INSIDE, 20400)).set_up()
    expect(own.a.given.rtp != call.a.given.rtp, "two calls share a port")
    forge.start(5)
    eventually(lambda: len(far.drain()) > 0, "the call runs")
    heard = 0
    for copy in forge.make(leg, 300):
        stranger.send(copy)
        far.send(packet(heard))
        heard += 1
        if heard % 50 == 0:  # no more at a time than a socket buffer holds
            eventually(lambda: forge.report()[leg]["other_errors"] + forge.report()[leg]["damaged"]
                       + forge.report()[leg]["received"] >= heard, "the client keeps its media")
    expect(not stranger.drain(), "media went to the stranger")
    expect(daemon.total("turnpike_relay_source_moves_total") == 0, "the leg moved")


@case
def M1_leg_follows_its_client_to_a_new_port(scratch):
    """A NAT that rebinds: authentic, newer packets from elsewhere, the old source silent."""
    daemon = _start(scratch)
    call = Call(daemon.ng, Side(OUTSIDE, 30000, (GCM,)), Side(INSIDE, 20000)).set_up()
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    leg, _ = connect(call, outside, inside)
    outside.start()
    inside.start()
    eventually(lambda: outside.total("received") >= 25, "the call runs")
    outside.move(leg, 30700)
    before = outside.total("received")
    eventually(lambda: outside.total("received") >= before + 50, "media follows", timeout=15)
    expect(daemon.total("turnpike_relay_source_moves_total") >= 1, "no move was counted")
    expect_clean(inside)


@case
def M1_moves_are_bounded(scratch):
    """Two addresses with the client's key take turns: at most a move a second, RTP and RTCP."""
    daemon, call, forge, leg, _ = _srtp_call(scratch)
    ends = [RtpSocket(scratch, call.a, place=STRANGER), RtpSocket(scratch, call.a, port=30800)]
    began, sent = daemon.now(), 0
    while daemon.now() - began < 2.5:
        for end in ends:
            for data in forge.make(leg, 10):
                end.send(data)
            sent += 10
            _settled(daemon, sent)
    seconds = daemon.now() - began
    moves = daemon.total("turnpike_relay_source_moves_total")
    expect(moves <= 1 + seconds, f"{moves} moves in {seconds:.2f} s")
    note(f"{moves:g} moves in {seconds:.2f} s")


@case
def M2_short_rtcp_is_dropped(scratch):
    daemon = _start(scratch)
    call = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
    client, far = RtpSocket(scratch, call.a, port=30001), RtpSocket(scratch, call.b, port=20001)
    for size in range(8):
        client.send(receiver_report()[:size], call.a.given.rtcp)
    _settled(daemon, 8)
    expect(not far.drain(), "a cut RTCP packet was forwarded")
    client.send(receiver_report(), call.a.given.rtcp)
    expect(far.receive() == receiver_report(), "a whole one is not forwarded")


@case
def M3_wrong_missing_and_cut_tags_are_dropped(scratch):
    for suite in (CM, GCM):
        daemon, call, forge, leg, far = _srtp_call(scratch, suite)
        client = RtpSocket(scratch, call.a, port=30900)  # authentic packets may come from anywhere
        good = forge.make(leg, 40)
        bad = []
        for data in good:
            bad += [data[:-1] + bytes([data[-1] ^ 1]), data[:-4], data[:-16],
                    data[:12] + bytes([data[12] ^ 1]) + data[13:],
                    data[:11] + bytes([data[11] ^ 1]) + data[12:],
                    packet(sequence_of(data) + 1000, ssrc=111111)]
        for data in bad:
            client.send(data)
        _settled(daemon, len(bad))
        expect(not far.drain(), f"{suite}: an unauthentic packet was forwarded")
        drops = daemon.drops()
        expect(sum(drops.values()) == len(bad), f"{suite}: {len(bad)} bad packets, drops {drops}")
        expect(call.query()["totals"]["RTP"]["packets"] == 0, f"{suite}: counted as media")
        client.send(good[0])
        expect(far.receive(), f"{suite}: the authentic packet is dropped: {daemon.drops()}")
        scratch.close()


@case
def M3_unauthentic_srtcp_is_dropped(scratch):
    daemon, call, _, _, _ = _srtp_call(scratch)
    far = RtpSocket(scratch, call.b, port=20001)
    client = RtpSocket(scratch, call.a, port=30901)
    for i in range(50):
        client.send(receiver_report(111111), call.a.given.rtcp)
        client.send(receiver_report(111111) + bytes([0x80, 0, 0, i]) + bytes(10),
                    call.a.given.rtcp)
    _settled(daemon, 100)
    expect(not far.drain(), "an unauthentic RTCP packet was forwarded")


@case
def M5_ten_thousand_auth_failures_do_not_end_the_call(scratch):
    daemon, call, forge, leg, far = _srtp_call(scratch)
    client = RtpSocket(scratch, call.a, port=30900)
    good = forge.make(leg, 2)
    wrong = good[0][:-1] + bytes([good[0][-1] ^ 1])
    for i in range(100):
        for _ in range(100):
            client.send(wrong)
        _settled(daemon, 100 * (i + 1))
    expect(daemon.drops().get("auth_failed") == 10_000, f"drops {daemon.drops()}")
    client.send(good[1])
    expect(far.receive(), "the authentic packet after them is dropped")
    expect(call.query()["result"] == "ok", "the call is gone")
    lines = daemon.log_text().count("\n")
    expect(lines < 100, f"{lines} lines of log for 10,000 bad packets")


@case
def M6_srtp_leg_never_falls_back_to_rtp(scratch):
    daemon, call, forge, leg, far = _srtp_call(scratch)
    client = RtpSocket(scratch, call.a, port=30900)
    again = Side(OUTSIDE, 30000)  # the same client, now without crypto lines
    try:
        reply = daemon.ng.request(
            "offer", call_id=call.call_id, from_tag=call.from_tag, to_tag=call.to_tag,
            sdp=again.sdp(), transport_protocol="RTP/AVP", direction=["outside", "inside"],
            ICE="remove", replace=["origin", "session-connection"])
    except NgError as error:
        note(f"the offer without crypto is refused: {error.reason}")
    else:
        expect(False, f"a downgrade was accepted: {reply['result']}")
    for sequence in range(20):
        client.send(packet(sequence, ssrc=111111))
    _settled(daemon, 20)
    expect(not far.drain(), "clear RTP on an SRTP leg was forwarded")
    client.send(forge.make(leg, 1)[0])
    expect(far.receive(), "the call's SRTP does not flow any more")


@case
def M8_keys_are_fresh_per_leg_and_not_the_clients(scratch):
    daemon = _start(scratch)
    seen = set()
    for i in range(20):
        a = Side(OUTSIDE, 30000 + 2 * i, (CM, GCM))
        b = Side(INSIDE, 20000 + 2 * i, (CM, GCM))
        call = Call(daemon.ng, a, b).set_up()
        ours = {line.key for side in (a, b) for line in side.given.crypto}
        theirs = set(a.keys.values()) | set(b.keys.values())
        expect(not ours & theirs, "a client's key was passed on as ours")
        expect(not ours & seen, "a key was given twice")
        seen |= ours
    note(f"{len(seen)} keys, all different")


@case
def M9_repeated_sequence_is_not_encrypted_twice(scratch):
    """The inside sends two different packets under one sequence number: with GCM, encrypting both
    would give the authentication key away."""
    for suite in (CM, GCM):
        daemon, call, forge, leg, near = _srtp_call(scratch, suite)
        for sequence in range(50):
            near.send(packet(sequence, b"a" * 160, ssrc=5))
            near.send(packet(sequence, b"b" * 160, ssrc=5))
        _settled(daemon, 100)
        eventually(lambda: daemon.drops().get("send_index_used") == 50,
                   lambda: f"50 repeated indices are refused: {daemon.drops()}")
        counts = forge.report()[leg]
        expect(counts["replayed"] == 0, f"{suite}: {counts}")
        scratch.close()


@case
def M9_replayed_packets_are_dropped(scratch):
    daemon, call, forge, leg, far = _srtp_call(scratch)
    client = RtpSocket(scratch, call.a, port=30900)
    made = forge.make(leg, 100)
    for data in made + made:
        client.send(data)
    _settled(daemon, 200)
    received = []
    eventually(lambda: received.extend(far.drain()) or len(received) >= 100,
               lambda: f"{len(received)} of 100 arrive")
    expect(daemon.drops().get("replayed") == 100, f"drops {daemon.drops()}")
    expect(len({sequence_of(data) for data in received}) == len(received) == 100,
           f"{len(received)} packets arrived")


@case
def M12_scan_sees_no_difference_between_free_and_used_ports(scratch):
    """Every port of the media range is probed while calls are up, with our packet filter rules."""
    daemon = _start(scratch)
    rules = str(ROOT / "deploy" / "nftables" / "turnpike.nft")
    subprocess.run(["nft", "-D", "media_ports=36000-59999", "-f", rules], check=True)
    calls = [Call(daemon.ng, Side(OUTSIDE, 30000 + 2 * i, (CM,) if i % 2 else ()),
                  Side(INSIDE, 20000 + 2 * i)).set_up() for i in range(10)]
    with STRANGER.sockets():
        icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    scratch.on_exit(icmp.close)
    scratch.on_exit(probe.close)
    used = [port for call in calls for _, port in (call.a.given.rtp, call.a.given.rtcp)]
    for data in (b"anyone there?", packet(1), b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)):
        for port in (*used, *range(36000, 60000)):
            probe.sendto(data, (OUTSIDE.host_v4, port))
    # A port outside the range answers (when the kernel's limit of such answers allows) and so shows
    # that everything before it was seen.
    answers = []

    def answered():
        probe.sendto(b"anyone there?", (OUTSIDE.host_v4, 35999))
        try:
            answers.append(icmp.recv(2048)[50:52])
        except TimeoutError:
            pass
        return answers
    icmp.settimeout(0.2)
    eventually(answered, "the port below the range answers")
    expect(set(answers) == {(35999).to_bytes(2, "big")}, f"ports {answers} answered")
    probe.setblocking(False)
    try:
        expect(False, f"data came back: {probe.recv(2048).hex()}")
    except (BlockingIOError, ConnectionRefusedError):
        pass
    expect(daemon.dropped() >= 3 * len(used), f"the ports in use count it: {daemon.drops()}")


@case
def T16_ports_are_not_predictable(scratch):
    firsts = []
    for _ in range(3):
        daemon = _start(scratch)
        ports = []
        for i in range(60):
            call = Call(daemon.ng, Side(OUTSIDE, 30000 + 2 * i), Side(INSIDE, 20000 + 2 * i))
            ports.append(call.set_up().a.given.port)
        steps = [b - a for a, b in zip(ports, ports[1:])]
        expect(len(set(steps)) > 45, f"the steps between ports repeat: {steps}")
        expect(max(ports) - min(ports) > 4000, f"ports lie within {max(ports) - min(ports)}")
        firsts.append(tuple(ports[:4]))
        scratch.close()
    expect(len(set(firsts)) == 3, f"three daemons gave the same ports: {firsts}")


run()
