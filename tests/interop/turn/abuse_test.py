"""The TURN server against who has no credentials: what is sent back for what comes, and that a
flood from forged addresses leaves nothing behind and keeps nobody out.

TURNPIKE_SOAK_PACKETS says how many forged datagrams; without it some hundred thousand.
"""
# time limit: 240 s

import os
import pathlib
import random
import socket
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib import stun, turn  # noqa: E402
from lib.case import case, eventually, expect, note, run  # noqa: E402

PACKETS = int(os.environ.get("TURNPIKE_SOAK_PACKETS", 300_000))
GROWTH_MAX_BYTES = 2 << 20
FORGED = "45.9.128.0/17"  # routed to the client's side, where nobody has such an address


def _ask(request, version=4, source=None, timeout=0.5):
    """The answer to one datagram from a fresh port; nothing when there is none."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with turn.CLIENT.sockets():
        link = socket.socket(family, socket.SOCK_DGRAM)
    with link:
        if source:
            link.bind((source, 0))
        link.settimeout(timeout)
        link.sendto(request, (turn.CLIENT.host(version), turn.SERVER_PORT))
        try:
            return link.recv(4096)
        except socket.timeout:
            return b""


@case
def T11_answers_to_strangers_stay_small(scratch):
    scratch.enter(turn.topology())
    turn.server(scratch)
    transport = stun.attribute(stun.REQUESTED_TRANSPORT, bytes([17, 0, 0, 0]))
    requests = {
        "Binding": (stun.message(stun.BINDING), 1.6, 2.2),
        "bare Allocate": (stun.message(stun.ALLOCATE), 1.4, 1.4),
        "Allocate": (stun.message(stun.ALLOCATE, transport), 3.0, 3.0),
    }
    answered = 0
    for name, (request, v4_max, v6_max) in requests.items():
        for version, most in ((4, v4_max), (6, v6_max)):
            answer = _ask(request, version)
            ratio = len(answer) / len(request)
            note(f"{name}, IPv{version}: {len(request)} bytes, {len(answer)} back, {ratio:.2f}")
            expect(ratio <= most, f"{name}, IPv{version}: {ratio:.2f} times the request")
            answered += 1 if answer else 0
    expect(answered >= 4, f"only {answered} requests were answered")
    for name, junk in {
        "a bare header": b"\0\1\0\0" + struct.pack("!I", 0x12345678) + bytes(12),
        "an indication": stun.message(stun.BINDING, message_class=1),
        "ChannelData": b"\x40\x00\x00\x04abcd",
        "a short one": b"\0\1",
        "RTP": b"\x80\0" + bytes(20),
        "nothing": b"",
    }.items():
        expect(not _ask(junk), f"{name} was answered")


@case
def T11_one_source_is_answered_some_times_only(scratch):
    scratch.enter(turn.topology())
    daemon = turn.server(scratch)
    request = stun.message(stun.ALLOCATE)
    with turn.CLIENT.sockets():
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with link:
        for _ in range(3000):
            link.sendto(request, (turn.CLIENT.host_v4, turn.SERVER_PORT))
        eventually(lambda: daemon.total("turnpike_turn_refused_total", reason="source_rate") > 1000,
                   "the source is told nothing any more")
        link.settimeout(0.2)
        answers = 0
        try:
            while link.recv(4096):
                answers += 1
        except socket.timeout:
            pass
    note(f"{answers} answers to 3000 requests")
    expect(0 < answers < 1000, f"{answers} answers to 3000 requests")
    turn.echo_peer(scratch)
    turn.expect_all_back(turn.uclient("-c"), "the same source with credentials")


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _forged(rnd, payload):
    """An IPv4 datagram to the server from an address and port of nobody."""
    source = struct.pack("!I", 0x2D098000 + rnd.randrange(1 << 15))
    udp = struct.pack("!HHHH", rnd.randrange(1024, 65536), turn.SERVER_PORT, 8 + len(payload), 0)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0) + source + \
        socket.inet_aton(turn.CLIENT.host_v4)
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return head + udp + payload


@case
def T12_forged_sources_leave_nothing_behind(scratch):
    scratch.enter(turn.topology())
    daemon = turn.server(scratch, sections=turn.FEW_MEDIA_PORTS)
    turn.echo_peer(scratch)
    subprocess.run(["ip", "route", "add", FORGED, "via", turn.CLIENT.v4], check=True)
    turn.expect_all_back(turn.uclient("-c"), "before the flood")
    rnd = random.Random(12)
    transport = stun.attribute(stun.REQUESTED_TRANSPORT, bytes([17, 0, 0, 0]))
    wrong = stun.attribute(stun.USERNAME, b"mallory") + stun.attribute(stun.REALM, b"example.org") \
        + stun.attribute(stun.NONCE, b"obMatJos2AAAA0123456789abcdef")
    payloads = [stun.message(stun.BINDING), stun.message(stun.ALLOCATE, transport),
                stun.signed(stun.ALLOCATE, transport + wrong, b"k" * 16),
                b"\x40\x00\x00\x04abcd", rnd.randbytes(200)]
    with turn.CLIENT.sockets():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with raw:
        def flood(count):
            for i in range(count):
                raw.sendto(_forged(rnd, payloads[i % len(payloads)]), (turn.CLIENT.host_v4, 0))
        flood(20_000)  # fills what is of fixed size
        before, descriptors = daemon.resident_bytes(), daemon.descriptors()
        refused = daemon.total("turnpike_turn_refused_total")
        opened = daemon.total("turnpike_turn_allocations_opened_total")
        flood(PACKETS)
    eventually(lambda: daemon.total("turnpike_turn_refused_total") > refused + PACKETS // 20,
               "the flood is heard")
    growth = daemon.resident_bytes() - before
    note(f"{PACKETS} datagrams, {growth} bytes more")
    expect(growth <= GROWTH_MAX_BYTES, f"{PACKETS} datagrams cost {growth} bytes")
    expect(daemon.descriptors() <= descriptors, "descriptors are left")
    expect(daemon.total("turnpike_turn_allocations_opened_total") == opened,
           "an allocation was made")
    turn.expect_all_back(turn.uclient("-c"), "after the flood")


@case
def reload_changes_users_and_keeps_the_rest_when_it_cannot(scratch):
    scratch.enter(turn.topology())
    daemon = turn.server(scratch)
    turn.echo_peer(scratch)
    turn.expect_all_back(turn.uclient("-c"), "before")
    users = scratch.folder / "turn-users"
    users.write_text("bob builder-of-things\nbroken line of a user\n")
    daemon.signal(1)
    eventually(lambda: "turn_kept" in daemon.log_text(), "the broken file is told")
    expect("builder-of-things" not in daemon.log_text(), "a password is in the log")
    turn.expect_all_back(turn.uclient("-c"), "with the users from before")
    users.write_text("bob builder-of-things\n")
    daemon.signal(1)
    eventually(lambda: "turn_reloaded" in daemon.log_text(), "the file is read")
    turn.expect_all_back(turn.uclient("-c", auth=("-u", "bob", "-w", "builder-of-things")), "bob")
    turn.expect_nothing_back(turn.uclient("-c", timeout=8), "alice, who is gone")


run()
