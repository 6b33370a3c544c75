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


def _race(daemon, packets, racer, client, far, lead=0, seconds=1.5):
    """Sends each packet from the racer first and from the client `lead` packets later, paced; media
    flows back all the while. Gives how much of it reached the two."""
    began, late, back = daemon.now(), [], 0
    to_racer = to_client = 0
    for i, data in enumerate(packets):
        racer.send(data)
        late.append(data)
        if len(late) > lead:
            client.send(late.pop(0))
        far.send(packet(back, ssrc=0xFA12))
        back += 1
        eventually(lambda: daemon.now() - began >= seconds * i / len(packets), "time passes")
        to_racer += len(racer.drain())
        to_client += len(client.drain())
    return to_racer, to_client


@case
def M1_raced_copy_does_not_move_an_srtp_leg(scratch):
    """A stranger who sees every packet sends a copy of each, sooner than the original arrives."""
    daemon, call, forge, leg, far = _srtp_call(scratch)
    forge.move(leg, 31000)
    client = RtpSocket(scratch, call.a)  # the client's own port
    stranger = RtpSocket(scratch, call.a, place=STRANGER)
    for data in forge.make(leg, 5):
        client.send(data)
    _settled(daemon, 5)
    to_racer, to_client = _race(daemon, forge.make(leg, 150), stranger, client, far)
    expect(to_racer == 0, f"{to_racer} packets went to the stranger")
    expect(to_client >= 140, f"the client hears {to_client} of 150 packets")
    expect(daemon.drops().get("replayed", 0) >= 140, f"no race took place: {daemon.drops()}")
    expect(daemon.total("turnpike_relay_source_moves_total") == 0, "the leg moved")


def _behind_nat(scratch, **keys):
    """A call whose client names an address that is not its own, as behind NAT."""
    daemon = _start(scratch)
    signalled = Side(OUTSIDE, 30000, (CM,))
    call = Call(daemon.ng, signalled, Side(INSIDE, 20000), **keys).set_up()
    forge = Peer(scratch, OUTSIDE)
    leg = forge.add(call.a, 111111, 222222)
    forge.move(leg, 31000)
    far = RtpSocket(scratch, call.b)
    return daemon, call, forge, leg, far


@case
def M1_racer_at_call_start_loses_against_a_client_behind_nat(scratch):
    """Nothing ever came from the signalled address: the client's packets come from another port,
    and the stranger's copies of them come first."""
    daemon, call, forge, leg, far = _behind_nat(scratch)
    client = RtpSocket(scratch, call.a, port=30700)
    stranger = RtpSocket(scratch, call.a, place=STRANGER)
    for lead in (0, 5):
        to_racer, to_client = _race(daemon, forge.make(leg, 150), stranger, client, far, lead)
        expect(to_racer == 0, f"{to_racer} packets went to the stranger, lead {lead}")
    expect(to_client >= 140, f"the client hears {to_client} of 150 packets")


@case
def M1_racer_gets_nothing_where_signalling_names_nobody(scratch):
    """The client's address is neither in the description nor that of the SIP message."""
    elsewhere = {"received_from": ["IP4", "198.51.100.77"]}
    daemon, call, forge, leg, far = _behind_nat(scratch, **elsewhere)
    # To the daemon the two places are alike: whichever address signalling does not name.
    client = RtpSocket(scratch, call.a, place=STRANGER)
    racer = RtpSocket(scratch, call.a, port=30800, place=STRANGER)
    for lead in (0, 5):
        to_racer, _ = _race(daemon, forge.make(leg, 150), racer, client, far, lead)
        expect(to_racer == 0, f"{to_racer} packets went to the racer, lead {lead}")
    sequence = 1000

    def client_hears():
        nonlocal sequence
        client.send(forge.make(leg, 1)[0])
        far.send(packet(sequence, ssrc=0xFA12))
        sequence += 1
        return client.receive(0.02)
    eventually(client_hears, "the client gets its media once the copies end", timeout=10)


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
    ends = [RtpSocket(scratch, call.a, port=30700), RtpSocket(scratch, call.a, port=30800)]
    sent = 0

    def take_turns(make, to, seconds):
        nonlocal sent
        began = daemon.now()
        while daemon.now() - began < seconds:
            for end in ends:
                turn = daemon.now()
                while daemon.now() - turn < 0.7:  # the other one is silent long enough
                    for data in make(leg, 10):
                        end.send(data, to)
                    sent += 10
                    _settled(daemon, sent)
        return daemon.now() - began

    for what, make, to in (("RTP", forge.make, call.a.given.rtp),
                           ("RTCP", forge.make_rtcp, call.a.given.rtcp)):
        before = daemon.total("turnpike_relay_source_moves_total")
        seconds = take_turns(make, to, 3)
        moves = daemon.total("turnpike_relay_source_moves_total") - before
        expect(1 <= moves <= 1 + seconds, f"{what}: {moves} moves in {seconds:.2f} s")
        note(f"{what}: {moves:g} moves in {seconds:.2f} s")


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
