"""TCP allocations (RFC 6062) in namespaces with public-looking addresses and the default policy for
peers: coturn's client, and one that speaks for itself.
"""
# time limit: 120 s

import pathlib
import socket
import ssl
import struct
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib import stun, turn  # noqa: E402
from lib.case import case, eventually, expect, note, run  # noqa: E402
from lib.network import INSIDE  # noqa: E402

ON = {"tcp_allocations": True}
PORT = 5000


def _start(scratch, **options):
    scratch.enter(turn.topology())
    return turn.server(scratch, **options)


def _link(tls=False):
    """Over TLS: one to which the end is only an end when it was announced."""
    with turn.CLIENT.sockets():
        link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    link.settimeout(5)
    link.connect((turn.CLIENT.host_v4, turn.TLS_PORT if tls else turn.SERVER_PORT))
    if not tls:
        return link
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(link, suppress_ragged_eofs=False)


def _listener(place, ip, port):
    with place.sockets():
        listener = socket.create_server((ip, port))
    listener.settimeout(5)
    return listener


def _exactly(link, size):
    got = b""
    while len(got) < size:
        some = link.recv(size - len(got))
        expect(some, f"{len(got)} of {size} bytes, and the end")
        got += some
    return got


def _message(link):
    """One STUN message, and nothing behind it."""
    head = _exactly(link, 20)
    return head + _exactly(link, struct.unpack_from("!H", head, 2)[0])


def _ask(link, names, key, method, attributes=b"", behind=b""):
    """Error code and attributes."""
    link.sendall(stun.signed(method, attributes + names, key) + behind)
    answer = _message(link)
    return stun.error_of(answer), stun.attributes_of(answer)


class _Client:
    """One over TCP; `go` is over a connection of its own, where it needs another nonce."""

    def __init__(self, protocol=6):
        self.link, self.names, self.key = self.go()
        wanted = stun.attribute(stun.REQUESTED_TRANSPORT, bytes([protocol, 0, 0, 0]))
        self.code, self.given = self.ask(stun.ALLOCATE, wanted)

    @staticmethod
    def go(tls=False):
        link = _link(tls)
        link.sendall(stun.message(
            stun.ALLOCATE, stun.attribute(stun.REQUESTED_TRANSPORT, bytes([17, 0, 0, 0]))))
        told = stun.attributes_of(_message(link))
        names = stun.attribute(stun.USERNAME, turn.USER.encode()) + \
            stun.attribute(stun.REALM, told[stun.REALM]) + \
            stun.attribute(stun.NONCE, told[stun.NONCE])
        return link, names, stun.key_of(turn.USER, told[stun.REALM].decode(), turn.PASSWORD)

    def ask(self, method, attributes=b""):
        return _ask(self.link, self.names, self.key, method, attributes)

    def connect(self, ip, port):
        """Error code and CONNECTION-ID."""
        peer = stun.attribute(stun.XOR_PEER_ADDRESS, stun.xor_address(ip, port))
        code, attributes = self.ask(stun.CONNECT, peer)
        return code, attributes.get(stun.CONNECTION_ID)

    def bind(self, number, behind=b"", tls=False):
        """Error code and the data connection."""
        link, names, key = self.go(tls)
        code, _ = _ask(link, names, key, stun.CONNECTION_BIND,
                       stun.attribute(stun.CONNECTION_ID, number), behind)
        return code, link

    def port(self):
        value = self.given[stun.XOR_RELAYED_ADDRESS]
        return int.from_bytes(value[2:4], "big") ^ (stun.COOKIE >> 16)


def _all_of(link):
    got = b""
    while True:
        some = link.recv(1 << 16)
        if not some:
            return got
        got += some


def _ends(daemon, reason):
    return daemon.total("turnpike_turn_peer_connections_ended_total", reason=reason)


def _expect_at_rest(daemon):
    for series in ("allocations", "peer_connections", "connections"):
        eventually(lambda: daemon.total(f"turnpike_turn_{series}") == 0,
                   lambda: f"{series}: {daemon.total(f'turnpike_turn_{series}'):g} are left")


@case
def coturn_connects(scratch):
    """From one relayed address to another, over TCP and over TLS."""
    daemon = _start(scratch, turn=ON | turn.identity(scratch.folder))
    for words in (("-T",), ("-T", "-S", "-p", turn.TLS_PORT)):
        turn.expect_all_back(turn.uclient(*words, "-n", 4, "-m", 2), " ".join(map(str, words)))
    for transport in ("tcp", "tls"):
        expect(daemon.total("turnpike_turn_bytes_total", transport=transport, to="peer") == 800,
               f"not all was counted for {transport}")
    _expect_at_rest(daemon)


@case
def coturn_is_connected_to(scratch):
    """-P: the client has a permission, and waits for its own peer, at -L. It hears of one of its
    two streams only, whoever the server is, and waits on for the other.
    """
    daemon = _start(scratch, turn=ON)
    output = turn.uclient("-T", "-P", "-L", turn.CLIENT.v4, "-n", 4, timeout=8)
    expect("tot_recv_bytes ~ 400" in output, output[-300:])
    expect(daemon.total("turnpike_turn_bytes_total", transport="tcp", to="client") == 400,
           "not all was counted")
    _expect_at_rest(daemon)


@case
def coturn_is_refused_by_default(scratch):
    daemon = _start(scratch)
    turn.expect_nothing_back(turn.uclient("-T", "-n", 2, timeout=10), "without the setting")
    expect(daemon.total("turnpike_turn_refused_total", reason="unsupported_transport") > 0,
           "it was not refused for its transport")
    expect(_Client().code == 442, "another code")


@case
def streams_pass_whole_both_ways(scratch):
    """Early data, data of a peer before ConnectionBind, much data, and each end for itself."""
    daemon = _start(scratch, turn=ON)
    listener = _listener(turn.PEER, turn.PEER.v4, PORT)
    client = _Client()
    expect(client.code == 0, f"{client.code}")
    code, number = client.connect(turn.PEER.v4, PORT)
    expect(code == 0 and len(number) == 4, f"{code}")
    peer, source = listener.accept()
    expect(source == (turn.CLIENT.host_v4, client.port()), f"{source}: not the relayed address")
    expect(client.connect(turn.PEER.v4, PORT)[0] == 446, "a second one with the peer")
    peer.sendall(b"before anybody listens")
    code, link = client.bind(number, behind=b"early")
    expect(code == 0, f"ConnectionBind: {code}")
    expect(client.bind(number)[0] == 400, "the number is good once")
    early = _exactly(peer, 5)
    expect(early == b"early", f"{early}")
    greeting = _exactly(link, 22)
    expect(greeting == b"before anybody listens", f"{greeting}")
    much = bytes(range(256)) * 8000  # in each direction, more than all buffers hold
    def send():
        link.sendall(much)
        link.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    got = _all_of(peer)
    sender.join()
    expect(got == much, f"{len(got)} of {len(much)} bytes at the peer")
    peer.sendall(much[:100000])
    peer.close()
    got = _all_of(link)
    expect(got == much[:100000], f"{len(got)} bytes at the client after its good-bye")
    eventually(lambda: _ends(daemon, "done") == 1, "both ends have said good-bye")
    to_peer = daemon.total("turnpike_turn_bytes_total", transport="tcp", to="peer")
    expect(to_peer == len(much) + 5, f"{to_peer} bytes were counted")
    code, _ = client.ask(stun.REFRESH, stun.attribute(stun.LIFETIME, bytes(4)))
    expect(code == 0, f"{code}")
    client.link.close()
    _expect_at_rest(daemon)
    note(f"{len(much)} bytes passed")


@case
def each_end_says_goodbye_for_itself_over_tls(scratch):
    """Data behind the request, in one record with it, are not lost either."""
    daemon = _start(scratch, turn=ON | turn.identity(scratch.folder))
    listener = _listener(turn.PEER, turn.PEER.v4, PORT)
    client = _Client()
    _, number = client.connect(turn.PEER.v4, PORT)
    peer, _ = listener.accept()
    code, link = client.bind(number, behind=b"early", tls=True)
    expect(code == 0 and _exactly(peer, 5) == b"early", f"{code}")
    peer.sendall(bytes(100000))
    peer.shutdown(socket.SHUT_WR)
    got = _all_of(link)
    expect(got == bytes(100000), f"{len(got)} bytes before the good-bye")
    link.sendall(b"and yet")
    expect(_exactly(peer, 7) == b"and yet", "the other way goes on")
    link.unwrap()
    link.close()
    expect(peer.recv(1) == b"", "the client's good-bye was not told")
    eventually(lambda: _ends(daemon, "done") == 1, "both ends have said good-bye")


@case
def peers_come_with_a_permission_alone(scratch):
    daemon = _start(scratch, turn=ON)
    client = _Client()
    with turn.PEER.sockets():
        stranger = socket.create_connection((turn.CLIENT.host_v4, client.port()), 5)
    expect(stranger.recv(1) == b"", "a stranger was kept")
    eventually(lambda: _ends(daemon, "no_permission") == 1, "the stranger was counted")
    permission = stun.attribute(stun.XOR_PEER_ADDRESS, stun.xor_address(turn.PEER.v4, 0))
    expect(client.ask(stun.CREATE_PERMISSION, permission)[0] == 0, "permission")
    with turn.PEER.sockets():
        peer = socket.create_connection((turn.CLIENT.host_v4, client.port()), 5)
    peer.settimeout(5)
    told = _message(client.link)
    expect(struct.unpack_from("!H", told)[0] == 0x001C, "no ConnectionAttempt")
    attributes = stun.attributes_of(told)
    ip, port = peer.getsockname()
    expect(attributes[stun.XOR_PEER_ADDRESS] == stun.xor_address(ip, port), "of somebody else")
    peer.sendall(b"hello")
    code, link = client.bind(attributes[stun.CONNECTION_ID])
    expect(code == 0 and _exactly(link, 5) == b"hello", f"{code}")
    link.sendall(b"well met")
    expect(_exactly(peer, 8) == b"well met", "back")
    client.link.close()  # the control connection: all ends with it
    expect(peer.recv(1) == b"", "the peer's connection has outlived the allocation")
    expect(link.recv(1) == b"", "the client's connection has outlived the allocation")
    _expect_at_rest(daemon)


@case
def T1_T6_only_who_may_be_a_peer_is_connected_to(scratch):
    daemon = _start(scratch, turn=ON)
    _listener(INSIDE, INSIDE.v4, PORT)
    client = _Client()
    foreign = next(port for port in turn.RELAY_PORTS if port != client.port())
    with socket.create_server((turn.CLIENT.host_v4, foreign)) as service:
        service.settimeout(0.2)
        for ip, port in ((INSIDE.v4, PORT), ("127.0.0.1", turn.SERVER_PORT),
                         (turn.CLIENT.host_v4, turn.SERVER_PORT),
                         (turn.CLIENT.host_v4, foreign),  # a service of this host among our ports
                         (turn.CLIENT.host_v4, client.port()), (turn.PEER.v4, 80)):
            expect(client.connect(ip, port)[0] == 403, f"{ip}:{port} is open")
        try:
            service.accept()
            expect(False, "somebody came to the service")
        except TimeoutError:
            pass
    expect(client.connect(turn.PEER.v4, PORT)[0] == 447, "nobody listens there")
    expect(daemon.total("turnpike_turn_refused_total", reason="peer_denied") == 6, "counted")


run()
