"""The front door on 443 with the default configuration: clients of all targets by one port, in
namespaces with public-looking addresses.
"""

import json
import pathlib
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lib import stun, turn, turnpiked  # noqa: E402,F401
from lib.case import case, eventually, expect, run  # noqa: E402

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
    begun = time.monotonic()
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
    took = time.monotonic() - begun
    expect(took < 14, f"after {took:.1f} seconds")
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
    for first in (b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", b"SSH-2.0-x\r\n"):
        link = _dial()
        link.sendall(first)
        expect(_is_closed(link), f"{first} is for nobody")
    expect(_outcomes(daemon, "unknown_protocol") == 3, "and counted")
    eventually(lambda: daemon.total("turnpike_front_door_connections") == 0, "nobody is left")
    expect("front_door" not in daemon.log_text().replace("front_door_opened", ""),
           "the log tells of nobody")


run()
