"""The front door on 443 with the default configuration: clients of all targets by one port, in
namespaces with public-looking addresses.
"""

import json
import pathlib
import re
import socket
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "sidecar")]

from lib import network, turn  # noqa: E402
from lib.case import case, eventually, expect, run  # noqa: E402
import edge as edges  # noqa: E402
import sip  # noqa: E402
import ws  # noqa: E402

DOOR = 443


def _outcomes(daemon, outcome):
    return daemon.total("turnpike_front_door_connections_total", outcome=outcome)


def _server(scratch, door=None, **options):
    scratch.enter(turn.topology())
    keys = turn.identity(scratch.folder) | {"server_name": turn.SERVER_NAME}
    sections = {"front_door": {"port": DOOR, "turn": True, **(door or {})},
                **options.pop("sections", {})}
    return turn.server(scratch, turn=keys, sections=sections, **options)


def _dial(version=4):
    with turn.CLIENT.sockets():
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        link = socket.socket(family, socket.SOCK_STREAM)
    link.settimeout(15)
    link.connect((turn.CLIENT.host(version), DOOR))
    return link


def _is_closed(link):
    try:
        return link.recv(1) == b""
    except ConnectionResetError:  # what we sent was not read
        return True


def _s_client(*words):
    command = turn.CLIENT.command("timeout", 10, "openssl", "s_client", "-connect",
                                  f"{turn.CLIENT.host_v4}:{DOOR}", *words)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout + done.stderr


@case
def turn_through_the_door(scratch):
    """coturn's client in the clear and over TLS, both families, beside one who is slow."""
    daemon = _server(scratch)
    turn.echo_peer(scratch)
    slow, silent = _dial(), _dial()
    slow.sendall(b"\x16")
    at_door = ("-t", "-p", DOOR)
    turn.expect_all_back(turn.uclient(*at_door, "-n", 5, "-m", 2, "-c", "-l", 171), "in the clear")
    trusted = ("-S", "-E", scratch.folder / "edge.pem")
    turn.expect_all_back(turn.uclient(*at_door, *trusted, "-n", 5, "-m", 2, "-c", "-l", 171),
                         "over TLS")
    turn.echo_peer(scratch, version=6)
    turn.expect_all_back(turn.uclient(*at_door, "-S", "-x", "-c", "-n", 3, version=6), "IPv6")
    for transport in ("tcp", "tls"):
        expect(_outcomes(daemon, f"turn_{transport}") >= 2, f"{transport} came by the door")
        relayed = daemon.total("turnpike_turn_packets_total", to="peer", transport=transport)
        expect(relayed >= 6, f"{relayed:g} packets by {transport}")
    uris = json.loads(subprocess.run(
        ["curl", "-sS", "--unix-socket", str(daemon.api_path), "-X", "POST",
         "http://localhost/v1/turn/credentials?user=bob"],
        capture_output=True, text=True, check=True).stdout)["uris"]
    expect(f"turns:{turn.SERVER_NAME}:{DOOR}?transport=tcp" in uris, f"{uris}")
    expect(_is_closed(silent) and _outcomes(daemon, "silent") == 1, "the silent one is closed")
    expect(_is_closed(slow) and _outcomes(daemon, "slow_hello") == 1, "the slow one is closed")
    daemon.stop()
    turn.expect_nothing_back(turn.uclient(*at_door, "-c", timeout=2), "no daemon")


@case
def names_and_protocols_decide(scratch):
    daemon = _server(scratch, {"turn_names": [turn.SERVER_NAME.upper()]})
    name = ("-servername", turn.SERVER_NAME)
    shown = _s_client(*name, "-alpn", "stun.turn", "-CAfile", scratch.folder / "edge.pem")
    expect("Verify return code: 0 (ok)" in shown and "ALPN protocol: stun.turn" in shown, shown)
    expect("Verify return code" in _s_client(*name), "without ALPN")
    expect(_outcomes(daemon, "turn_tls") == 2, "both came to TURN")
    for words in (("-servername", "other.example"), ("-noservername",),
                  (*name, "-alpn", "http/1.1")):
        expect("no peer certificate available" in _s_client(*words), f"{words} is for nobody")
    expect(_outcomes(daemon, "no_target") == 3, "and counted")
    for first in (b"GET / HTTP/1.1\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", b"SSH-2.0-x\r\n"):
        link = _dial()
        link.sendall(first)
        expect(_is_closed(link), f"{first} is for nobody")
    expect(_outcomes(daemon, "unknown_protocol") == 3, "and counted")
    eventually(lambda: daemon.total("turnpike_front_door_connections") == 0, "nobody is left")
    expect("front_door" not in daemon.log_text().replace("front_door_opened", ""),
           "the log tells of nobody")


def _proxy_header(source, port, command=0x21):
    body = socket.inet_aton(source) + socket.inet_aton(turn.CLIENT.host_v4)
    body += struct.pack("!HH", port, DOOR)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", command, 0x11, len(body)) + body


@case
def load_balancers_name_the_client(scratch):
    """From the listed address a PROXY header is required and believed, from others unknown."""
    daemon = _server(scratch, {"proxies": [turn.CLIENT.v4]})
    request = struct.pack("!HHI12s", 1, 0, 0x2112a442, b"transaction!")
    link = _dial()
    link.sendall(_proxy_header("203.0.113.9", 40000) + request)
    answer = link.recv(100)
    address = bytes(a ^ b for a, b in zip(answer[28:32], b"\x21\x12\xa4\x42"))
    expect(socket.inet_ntoa(address) == "203.0.113.9", f"{answer}")
    for first, outcome in ((request, "no_proxy_header"),
                           (_proxy_header("203.0.113.9", 40000, 0x20), "health_check")):
        link = _dial()
        link.sendall(first)
        expect(_is_closed(link) and _outcomes(daemon, outcome) == 1, outcome)
    link = _dial(6)  # not listed
    link.sendall(_proxy_header("203.0.113.9", 40000) + request)
    expect(_is_closed(link) and _outcomes(daemon, "unknown_protocol") == 1, "not listed")
    link = _dial(6)
    link.sendall(request)
    expect(len(link.recv(100)) == 44, "and without a header it is a client like others")


API_NAME = "console.example.org"


@case
def the_api_through_the_door(scratch):
    keys = turn.identity(scratch.folder)
    secret = "0123456789abcdef" * 2
    tokens = turn.private_file(scratch.folder, "tokens", f"ops read {secret}\n")
    daemon = _server(scratch, {"api": True, "api_names": [API_NAME]}, sections={
        "api": {"listen": "127.0.0.1:8444", "tokens_file": tokens, "host_names": [API_NAME],
                **keys}})

    def get(name, *words):
        command = turn.CLIENT.command(
            "curl", "-sSk", "--max-time", 5, "--resolve", f"{name}:{DOOR}:{turn.CLIENT.host_v4}",
            "-o", "/dev/null", "-w", "%{http_code}", *words, f"https://{name}/v1/status")
        return subprocess.run(command, capture_output=True, text=True).stdout
    token = ("-H", f"Authorization: Bearer {secret}")
    shown = get(API_NAME, *token)
    expect(shown == "200", f"{shown} with the token: {daemon.log_tail()}")
    expect(get(API_NAME) == "401", "without")
    expect(get("other.example", *token) == "000", "another name is for nobody")
    expect(_outcomes(daemon, "api") == 2 and _outcomes(daemon, "no_target") == 1, "counted")


@case
def a_browser_calls_through_the_door(scratch):
    """SIP over WebSocket by 443 to a real Kamailio, requests of a dialog in both directions."""
    edge = edges.Edge(scratch, {"front_door": {"port": DOOR, "sip": True}}, real_relay=True)
    alice = ws.Agent(network.OUTSIDE)
    scratch.on_exit(alice.close)
    alice.connect((edges.OUTSIDE, DOOR), edge.certificates.context(), edges.DOMAIN,
                  origin=edges.ORIGIN)
    answer = edges.register(alice, "alice", edges.PASSWORDS["alice"])
    expect(answer.status == 200, answer.start)
    pbx = edge.inside_server()
    sent = edges.invite(alice, "alice", f"sip:6001@{edges.DOMAIN}", edges.dtls_sdp())
    asked = pbx.expect("INVITE")
    sip.reply(pbx, asked, 200, "OK", "6001", edges.inside_sdp(), to_tag="6001")
    answer = alice.final(method="INVITE")
    expect(answer.status == 200, answer.start)
    calling = edges.caller_side(alice, "alice", sent, answer)
    calling.request("ACK", cseq=calling.cseq)
    pbx.expect("ACK")
    called = edges.called_side(pbx, "6001", asked, "6001")
    called.request("BYE", to=edges.CLEAR)
    sip.reply(alice, alice.expect("BYE"), 200, "OK")
    expect(pbx.final(method="BYE").status == 200, "BYE is answered")
    # Without ICE, behind NAT: the source of its SIP is the door's, and not where it is.
    edges.invite(alice, "alice", f"sip:6002@{edges.DOMAIN}",
                 edges.dtls_sdp(ice=False, address="192.168.7.9"))
    asked = pbx.expect("INVITE")
    sip.reply(pbx, asked, 486, "Busy Here", "6002", to_tag="6002")
    answer = alice.final(method="INVITE")
    expect(answer.status == 486, answer.start)
    seen = edge.connections()
    expect(re.search(r"\b127\.[1-9]\d*\.\d+\.\d+\b", seen), seen)
    expect(network.OUTSIDE.v4 not in seen, "nobody came but by the door")
    expect(_outcomes(edge.daemon, "sip") == 1, "and counted")
    alice.close()
    eventually(lambda: edge.daemon.total("turnpike_front_door_connections") == 0, "it is over")


run()
