"""Whether bytes that must not be readable stand in frames that were captured on a link.

Hides: what SIP looks like, and a phone's tone as G.711. Not: proof that something is encrypted
well.
"""

import audioop
import math
import struct

_SIP = (b"SIP/2.0", b"INVITE sip:", b"REGISTER sip:", b"a=rtpmap:", b"Call-ID:")
_SAMPLES = 160  # of a packet of 20 ms
_UDP = 17


def _payloads(frequency_hz):
    """How packets of a phone begin that plays this tone, from a file of one second."""
    samples = [round(8191 * math.sin(2 * math.pi * frequency_hz * i / 8000)) for i in range(8000)]
    law = audioop.lin2ulaw(struct.pack(f"<{len(samples)}h", *samples), 2)
    return {law[at:at + 40] for at in range(0, len(law), _SAMPLES)}


def readable(frames, *tones_hz):
    """{"SIP", "RTP"} of what can be read of them."""
    data = b"\0".join(frames)
    found = {"SIP"} if any(word in data for word in _SIP) else set()
    if any(payload in data for tone_hz in tones_hz for payload in _payloads(tone_hz)):
        found.add("RTP")
    return found


def udp_packets(frames):
    """How many carry UDP over IPv4."""
    return sum(frame[12:14] == b"\x08\x00" and frame[23] == _UDP for frame in frames)
