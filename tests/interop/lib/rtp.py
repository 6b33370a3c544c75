"""RTP by hand: one socket pair of a Side, and packets as bytes. For what no real program sends."""

import select
import socket
import struct

HEADER_BYTES = 12


def packet(sequence, payload=b"\xd5" * 160, ssrc=0xCAFE, payload_type=0, timestamp=None):
    """An RTP packet (RFC 3550 section 5.1)."""
    if timestamp is None:
        timestamp = sequence * 160
    return struct.pack("!BBHII", 0x80, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF,
                       ssrc) + payload


def receiver_report(ssrc=0xCAFE):
    """The smallest RTCP packet: an empty receiver report (RFC 3550 section 6.4.2)."""
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


def sequence_of(data):
    return struct.unpack_from("!H", data, 2)[0]


def payload_of(data):
    return data[HEADER_BYTES:]


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class RtpSocket:
    """Bound to `port` (default: the side's RTP port) of the side's address, in its place."""

    def __init__(self, scratch, side, port=None, place=None):
        self.side = side
        place = place or side.place
        address = place.address(side.version)
        with place.sockets():
            self.socket = socket.socket(family_of(address), socket.SOCK_DGRAM)
        self.socket.bind((address, side.port if port is None else port))
        self.port = self.socket.getsockname()[1]
        scratch.on_exit(self.socket.close)

    def send(self, data, to=None):
        self.socket.sendto(data, to or self.side.given.rtp)

    def receive(self, timeout=5.0):
        """The next datagram, or None when none comes in time."""
        if not select.select([self.socket], [], [], timeout)[0]:
            return None
        return self.socket.recv(4096)

    def drain(self):
        """Everything that waits here."""
        found = []
        while (data := self.receive(0)) is not None:
            found.append(data)
        return found
