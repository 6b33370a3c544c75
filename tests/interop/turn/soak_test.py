"""TURN allocations that come and go: made, used both ways, and ended in each way there is, over and
over. Afterwards there are as many ports, descriptors and as much memory as before.

TURNPIKE_SOAK_ALLOCATIONS says how many; without it a few thousand.
"""
# time limit: 900 s

import base64
import hashlib
import hmac
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib import stun, turn  # noqa: E402
from lib.case import case, eventually, expect, note, run  # noqa: E402

ALLOCATIONS = int(os.environ.get("TURNPIKE_SOAK_ALLOCATIONS", 3000))
TOGETHER = 200
WARM_UP = 600
SOURCES = 20  # a source is asked for credentials some times a second only
# Fewer than allocations that are made: what was not given back would be missed.
PORTS = {"port_min": 24000, "port_max": 24599, "quarantine_seconds": 0}
GROWTH_MAX_BYTES = 4 << 20
SECONDS_OF_CREDENTIALS = 8
LIFETIME = 0x0D
UDP_TRANSPORT = stun.attribute(stun.REQUESTED_TRANSPORT, bytes([17, 0, 0, 0]))
DATA = b"there and back"


class _Client:
    """One 5-tuple, which may have one allocation after another."""

    def __init__(self, scratch, kind, source):
        with turn.CLIENT.sockets():
            self._link = socket.socket(socket.AF_INET, kind)
        scratch.on_exit(self._link.close)
        self._link.settimeout(10)
        self._link.bind((source, 0))
        self._link.connect((turn.CLIENT.host_v4, turn.SERVER_PORT))
        self._is_stream = kind == socket.SOCK_STREAM
        self._names = self._key = None

    def send(self, message):
        self._link.sendall(message)

    def receive(self):
        if not self._is_stream:
            return self._link.recv(4096)
        head = self._link.recv(20, socket.MSG_WAITALL)
        expect(len(head) == 20, "the server has closed the connection")
        return head + self._link.recv(struct.unpack_from("!H", head, 2)[0], socket.MSG_WAITALL)

    def take_challenge(self, user, password):
        told = stun.attributes_of(self.receive())
        self._key = stun.key_of(user, turn.REALM, password)
        self._names = stun.attribute(stun.USERNAME, user.encode()) + \
            stun.attribute(stun.REALM, told[stun.REALM]) + \
            stun.attribute(stun.NONCE, told[stun.NONCE])

    def ask(self, method, attributes):
        self.send(stun.signed(method, attributes + self._names, self._key))

    def expect_success(self):
        code = stun.error_of(self.receive())
        expect(code == 0, f"refused with {code}")

    def reset(self):
        """Ends the connection without a word."""
        self._link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._link.close()

    def close(self):
        self._link.close()


class _Echo:
    """The peer: sends back what it gets."""

    def __init__(self, scratch):
        with turn.PEER.sockets():
            self._link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._link.bind((turn.PEER.v4, 3480))
        self._link.settimeout(0.2)
        self._ends = False
        thread = threading.Thread(target=self._run)
        thread.start()
        scratch.on_exit(self._link.close)
        scratch.on_exit(thread.join)
        scratch.on_exit(setattr, self, "_ends", True)

    def _run(self):
        while not self._ends:
            try:
                data, source = self._link.recvfrom(4096)
                self._link.sendto(data, source)
            except TimeoutError:
                pass


def _sources():
    return [turn.CLIENT.v4.rpartition(".")[0] + f".{20 + n}" for n in range(SOURCES)]


def _clients(scratch, kind, count=TOGETHER, user=turn.USER, password=turn.PASSWORD):
    sources = _sources()
    clients = [_Client(scratch, kind, sources[n % SOURCES]) for n in range(count)]
    for client in clients:
        client.send(stun.message(stun.ALLOCATE, UDP_TRANSPORT))
    for client in clients:
        client.take_challenge(user, password)
    return clients


def _all_ask(clients, method, attributes):
    for client in clients:
        client.ask(method, attributes)
    for client in clients:
        client.expect_success()


def _make_and_use(clients):
    _all_ask(clients, stun.ALLOCATE, UDP_TRANSPORT)
    peer = stun.attribute(stun.XOR_PEER_ADDRESS, stun.xor_address(turn.PEER.v4, 3480))
    _all_ask(clients, stun.CREATE_PERMISSION, peer)
    for client in clients:
        client.send(stun.message(stun.SEND, peer + stun.attribute(stun.DATA, DATA),
                                 message_class=1))
    for client in clients:
        expect(stun.attributes_of(client.receive()).get(stun.DATA) == DATA, "it does not come back")


def _come_and_go(scratch, udp, count):
    """Each fourth batch by connections that are reset, the others by a Refresh with LIFETIME 0."""
    for batch in range(-(-count // TOGETHER)):
        if batch % 4 == 3:
            clients = _clients(scratch, socket.SOCK_STREAM)
            _make_and_use(clients)
            for client in clients:
                client.reset()
        else:
            _make_and_use(udp)
            _all_ask(udp, stun.REFRESH, stun.attribute(LIFETIME, bytes(4)))


def _expire(scratch):
    """Allocations that end by themselves, with the credentials that made them."""
    user = f"{int(time.time()) + SECONDS_OF_CREDENTIALS}:soak"
    digest = hmac.new(turn.SECRET.encode(), user.encode(), hashlib.sha1).digest()
    clients = _clients(scratch, socket.SOCK_DGRAM, user=user,
                       password=base64.b64encode(digest).decode())
    _make_and_use(clients)
    return clients


def _settled(daemon):
    seen = []

    def at_rest():
        seen.append((int(daemon.total("turnpike_turn_allocations")),
                     int(daemon.total("turnpike_turn_connections")), daemon.descriptors()))
        return seen[-1][:2] == (0, 0) and len(set(seen[-3:])) == 1 < len(seen[-3:])

    eventually(at_rest, lambda: f"at rest: {seen[-1]}", 30, every=0.2)
    return daemon.descriptors(), daemon.resident_bytes()


@case
def allocations_come_and_go_and_leave_nothing(scratch):
    scratch.enter(turn.topology())
    for source in _sources():
        subprocess.run(turn.CLIENT.command("ip", "address", "add", source + "/24", "dev",
                                           turn.CLIENT.link + "-p"), check=True)
    daemon = turn.server(
        scratch, turn={**PORTS, "strict_expiry": True, "connections_per_source_max": 0},
        realm={"allocations_per_user_max": 0, "new_peers_per_minute_max": 0},
        sections=turn.FEW_MEDIA_PORTS)
    _Echo(scratch)
    udp = _clients(scratch, socket.SOCK_DGRAM)
    _come_and_go(scratch, udp, WARM_UP)
    descriptors, resident = _settled(daemon)
    opened = daemon.total("turnpike_turn_allocations_opened_total")
    begun = time.monotonic()
    _come_and_go(scratch, udp, ALLOCATIONS)
    seconds = time.monotonic() - begun
    late = _expire(scratch)
    expect(daemon.total("turnpike_turn_allocations") == len(late), "they are up before they expire")
    after = _settled(daemon)
    made = int(daemon.total("turnpike_turn_allocations_opened_total") - opened)
    growth = after[1] - resident
    note(f"{made} allocations, {ALLOCATIONS / seconds:.0f} a second; memory grew by "
         f"{growth >> 10} KiB")
    expect(made >= ALLOCATIONS + len(late), f"{made} were made")
    expect(daemon.total("turnpike_turn_allocations_expired_total") >= len(late), "none expired")
    expect(after[0] == descriptors, f"{descriptors} descriptors, then {after[0]}")
    expect(growth < GROWTH_MAX_BYTES, f"memory grew by {growth} bytes")
    _make_and_use(udp)  # all ports are there again
    _make_and_use(_clients(scratch, socket.SOCK_STREAM))
    expect(daemon.total("turnpike_turn_refused_total", reason="capacity") == 0,
           "ports were not given back")


run()
