"""Judges whether anything on a wire is in clear: SIP by its words, RTP by its statistics. What is
encrypted well has bytes that are all equally likely, whatever was said; speech, tones, silence and
the fixed fields of codecs do not.

    proof = WireProof()
    for frame in frames:
        proof.see(frame)
    proof.findings()     # [] : nothing clear; each one is a sentence
"""

import collections
import re
import struct

SIP = re.compile(rb"SIP/2\.0|^(?:INVITE|REGISTER|OPTIONS|MESSAGE|NOTIFY|SUBSCRIBE|BYE) sips?:"
                 rb"|^a=crypto:|^m=audio ", re.MULTILINE)
FLOW_HEADER_BYTES = 20  # of media between edge and core (docs/adr/0011)
ENOUGH_BYTES, ENOUGH_PACKETS = 2560, 50
# Chi-square of 256 values: 255 on average when encrypted, with a standard deviation of 22.6.
CHI_SQUARE_MAX = 255 + 12 * 22.6
FIRST_BYTES = 4
DISTINCT_MIN = 8  # values that such a byte has in ENOUGH_PACKETS packets; 46 on average


def _transport(frame):
    """(protocol, addresses and ports, payload) of a frame that carries UDP or TCP, else None."""
    kind = frame[12:14]
    if kind == b"\x08\x00":
        size, protocol = 4 * (frame[14] & 15), frame[23]
        ends, rest = frame[26:34], frame[14 + size:14 + struct.unpack("!H", frame[16:18])[0]]
    elif kind == b"\x86\xdd":
        protocol, ends = frame[20], frame[22:54]
        rest = frame[54:54 + struct.unpack("!H", frame[18:20])[0]]
    else:
        return None
    if protocol == 17 and len(rest) >= 8:
        return protocol, ends + rest[:4], rest[8:]
    if protocol == 6 and len(rest) >= 20:
        return protocol, ends + rest[:4], rest[4 * (rest[12] >> 4):]
    return None


def _rtp(datagram):
    """(SSRC, payload) of RTP or SRTP, with or without a pair's header before it; else None."""
    if datagram and datagram[0] >= 0xC0:
        datagram = datagram[FLOW_HEADER_BYTES:]
    if len(datagram) < 16 or datagram[0] >> 6 != 2 or 64 <= (datagram[1] & 127) <= 95:
        return None
    at = 12 + 4 * (datagram[0] & 15)
    if datagram[0] & 16 and len(datagram) >= at + 4:
        at += 4 + 4 * struct.unpack("!H", datagram[at + 2:at + 4])[0]
    return datagram[8:12], datagram[at:]


class _Stream:
    def __init__(self):
        self.counts = collections.Counter()
        self.first = [collections.Counter() for _ in range(FIRST_BYTES)]
        self.packets = 0

    def clear(self):
        """Why it is in clear; "" when it looks encrypted, or little was seen."""
        total = sum(self.counts.values())
        if self.packets < ENOUGH_PACKETS or total < ENOUGH_BYTES:
            return ""
        expected = total / 256
        chi = sum((self.counts[value] - expected) ** 2 / expected for value in range(256))
        if chi > CHI_SQUARE_MAX:
            return f"its bytes are not equally likely (chi-square {chi:.0f})"
        for place, values in enumerate(self.first):
            if values and len(values) < DISTINCT_MIN:
                return f"byte {place} of its payload has {len(values)} values only"
        return ""


class WireProof:
    def __init__(self):
        self.frames = 0
        self._sip = collections.Counter()
        self._streams = collections.defaultdict(_Stream)

    def see(self, frame):
        found = _transport(frame)
        if found is None:
            return
        self.frames += 1
        protocol, ends, payload = found
        if match := SIP.search(payload):
            self._sip[match.group().decode()] += 1
        media = _rtp(payload) if protocol == 17 else None
        if media is None:
            return
        stream = self._streams[ends + media[0]]
        stream.packets += 1
        stream.counts.update(media[1])
        for values, byte in zip(stream.first, media[1]):
            values[byte] += 1

    @property
    def streams(self):
        """RTP streams of which enough was seen to judge them."""
        return sum(stream.packets >= ENOUGH_PACKETS for stream in self._streams.values())

    def findings(self):
        found = [f"{count} packets with clear SIP ({word})" for word, count in self._sip.items()]
        for key, stream in self._streams.items():
            if why := stream.clear():
                found.append(f"RTP stream {key[-4:].hex()}, {stream.packets} packets: {why}")
        return found
