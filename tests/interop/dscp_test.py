"""DSCP marks on the wire, seen by a capture at the receivers."""

import socket
import struct

from lib.call import Call, Side
from lib.case import case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.rtp import RtpSocket, packet
from lib.turnpiked import Turnpiked

ETH_P_ALL = 3
EF, AF41 = 46, 34


class Capture:
    """DSCP of every UDP datagram to a port that the place's interface receives, as it was sent."""

    def __init__(self, scratch, place):
        with place.sockets():
            self._link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._link.settimeout(0.2)
        scratch.on_exit(self._link.close)

    def dscp_to(self, port, enough=10):
        found = []

        def fill():
            try:
                frame = self._link.recv(4096)
            except TimeoutError:
                return False
            mark = _dscp_of(frame, port)
            if mark is not None:
                found.append(mark)
            return len(found) >= enough
        eventually(fill, lambda: f"{enough} packets to port {port}, saw {len(found)}")
        return set(found)


def _dscp_of(frame, port):
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == 0x0800 and frame[23] == socket.IPPROTO_UDP:
        header = 14 + 4 * (frame[14] & 15)
        mark = frame[15] >> 2
    elif kind == 0x86DD and frame[20] == socket.IPPROTO_UDP:
        header = 54
        mark = (struct.unpack_from("!H", frame, 14)[0] >> 6) & 0x3F
    else:
        return None
    return mark if struct.unpack_from("!H", frame, header + 2)[0] == port else None


def _marks(scratch, settings=None, version=4, **keys):
    """DSCP of what the inside receives, for one call of the given kind."""
    scratch.enter(topology())
    # From some packet on they leave through a connected socket: that must mark them, too.
    daemon = Turnpiked(scratch, {"media": {"connect_after_packets": 5, **(settings or {})}})
    media = keys.pop("media", "audio")
    a, b = (Side(OUTSIDE, 30000, version=version, media=media),
            Side(INSIDE, 20000, version=version, media=media))
    call = Call(daemon.ng, a, b, **keys).set_up()
    sender, receiver = RtpSocket(scratch, a), RtpSocket(scratch, b)
    capture = Capture(scratch, INSIDE)
    for sequence in range(20):
        sender.send(packet(sequence))
    expect(receiver.receive(), "nothing arrived")
    return capture.dscp_to(b.port, enough=20)


@case
def audio_is_marked_ef(scratch):
    expect((marks := _marks(scratch)) == {EF}, f"DSCP {marks}")


@case
def audio_is_marked_ef_over_ipv6(scratch):
    expect((marks := _marks(scratch, version=6)) == {EF}, f"DSCP {marks}")


@case
def video_is_marked_af41(scratch):
    expect((marks := _marks(scratch, media="video")) == {AF41}, f"DSCP {marks}")


@case
def the_configured_mark_is_used(scratch):
    marks = _marks(scratch, {"dscp_audio": 10})
    expect(marks == {10}, f"DSCP {marks}")


@case
def a_tos_of_the_sip_server_wins(scratch):
    expect((marks := _marks(scratch, TOS=104)) == {26}, f"DSCP {marks}")


run()
