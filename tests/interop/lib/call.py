"""A call made by NG alone: two Sides describe themselves in SDP, the daemon stands between.

Hides: writing and reading SDP, SDES key material, offer and answer.
"""

import base64
import dataclasses
import itertools
import os
import re

KEY_BYTES = {
    "AES_CM_128_HMAC_SHA1_80": (16, 14), "AES_CM_128_HMAC_SHA1_32": (16, 14),
    "AES_256_CM_HMAC_SHA1_80": (32, 14), "AES_256_CM_HMAC_SHA1_32": (32, 14),
    "AEAD_AES_128_GCM": (16, 12), "AEAD_AES_256_GCM": (32, 12),
}
_serial = itertools.count(1)


def new_key(suite):
    """Fresh master key and salt, base64 as in SDP."""
    return base64.b64encode(os.urandom(sum(KEY_BYTES[suite]))).decode()


@dataclasses.dataclass
class Crypto:
    tag: int
    suite: str
    key: str  # base64 of master key and salt

    def line(self):
        return f"a=crypto:{self.tag} {self.suite} inline:{self.key}"


@dataclasses.dataclass
class Media:
    """What an SDP says about one m-line."""

    address: str
    port: int
    rtcp_port: int
    profile: str
    crypto: list
    mux: bool
    direction: str
    text: str

    @property
    def rtp(self):
        return (self.address, self.port)

    @property
    def rtcp(self):
        return (self.address, self.port if self.mux else self.rtcp_port)


def parse(text):
    """All m-lines of an SDP."""
    session, *blocks = re.split(r"(?m)^(?=m=)", text.replace("\r\n", "\n"))
    found = []
    for block in blocks:
        port, profile = re.match(r"m=\S+ (\d+)\S* (\S+)", block).groups()
        address = re.search(r"(?m)^c=IN IP[46] (\S+)", block) or re.search(
            r"(?m)^c=IN IP[46] (\S+)", session)
        rtcp = re.search(r"(?m)^a=rtcp:(\d+)", block)
        crypto = [Crypto(int(tag), suite, key) for tag, suite, key in re.findall(
            r"(?m)^a=crypto:(\d+) (\S+) inline:([A-Za-z0-9+/=]+)", block)]
        direction = re.search(r"(?m)^a=(sendrecv|sendonly|recvonly|inactive)", block)
        found.append(Media(
            address.group(1), int(port), int(rtcp.group(1)) if rtcp else int(port) + 1, profile,
            crypto, "\na=rtcp-mux\n" in block, direction.group(1) if direction else "sendrecv",
            block))
    return found


@dataclasses.dataclass
class Side:
    """One party of a call: where it is, its ports, how it encrypts.

    `suites`: offered, in order; empty means plain RTP. `keys` holds its own key by suite.
    """

    place: object
    port: int
    suites: tuple = ()
    version: int = 4
    mux: bool = False
    direction: str = "sendrecv"
    media: str = "audio"
    keys: dict = dataclasses.field(default_factory=dict)
    extra: str = ""
    given: Media = None  # what the daemon told this side, once it did

    def __post_init__(self):
        for suite in self.suites:
            self.keys.setdefault(suite, new_key(suite))

    @property
    def address(self):
        return self.place.address(self.version)

    @property
    def interface(self):
        return {"tp-out": "outside", "tp-in": "inside"}[self.place.name]

    @property
    def _format(self):
        return {"audio": "0 PCMU/8000", "video": "96 VP8/90000"}[self.media]

    def sdp(self, crypto=None):
        """Its SDP. `crypto`: the lines to write; None: all its suites, tags from 1."""
        if crypto is None:
            crypto = [Crypto(i + 1, suite, self.keys[suite])
                      for i, suite in enumerate(self.suites)]
        family = f"IP{self.version}"
        profile = "RTP/SAVP" if self.suites else "RTP/AVP"
        lines = [
            "v=0", f"o=- {self.port} 1 IN {family} {self.address}", "s=-",
            f"c=IN {family} {self.address}", "t=0 0",
            f"m={self.media} {self.port} {profile} {self._format.split()[0]}",
            f"a=rtpmap:{self._format}", *(line.line() for line in crypto),
            *(["a=rtcp-mux"] if self.mux else []), f"a={self.direction}", "a=ptime:20",
            *([self.extra] if self.extra else []),
        ]
        return "\r\n".join(lines) + "\r\n"

    def hears(self, sdp):
        self.given = parse(sdp)[0]
        return self.given

    def chosen(self):
        """After the call is up: (suite, own key, the daemon's key) of this leg, or None."""
        if not self.suites:
            return None
        for theirs in self.given.crypto:
            if theirs.suite in self.keys:
                return theirs.suite, self.keys[theirs.suite], theirs.key
        raise ValueError("the daemon's SDP has no crypto line that this side can use: "
                         + re.sub(r"inline:\S+", "inline:…", self.given.text))


class Call:
    """A call between `a` (offers) and `b` (answers), set up through `ng`."""

    def __init__(self, ng, a, b, **keys):
        self.ng, self.a, self.b, self.keys = ng, a, b, keys
        self.call_id = f"call-{os.getpid()}-{next(_serial)}"
        self.from_tag, self.to_tag = f"from-{self.call_id}", f"to-{self.call_id}"

    def _common(self, command, sender, receiver):
        return dict(
            {"call_id": self.call_id, "from_tag": self.from_tag, "ICE": "remove",
             "direction": [sender.interface, receiver.interface],
             "replace": ["origin", "session-connection"],
             "received_from": [f"IP{sender.version}", sender.address],
             "transport_protocol": "RTP/SAVP" if receiver.suites else "RTP/AVP",
             "rtcp_mux": ["offer"] if receiver.mux else ["demux"],
             "address_family": f"IP{receiver.version}"} if command == "offer" else
            {"call_id": self.call_id, "from_tag": self.from_tag, "to_tag": self.to_tag,
             "ICE": "remove", "replace": ["origin", "session-connection"],
             "received_from": [f"IP{sender.version}", sender.address]}, **self.keys)

    def offer(self):
        reply = self.ng.request("offer", sdp=self.a.sdp(),
                                **self._common("offer", self.a, self.b))
        return self.b.hears(reply["sdp"])

    def answer(self):
        crypto = None
        if self.b.suites:
            # The answerer takes the first line offered to it that it can do, under its tag.
            line = next(line for line in self.b.given.crypto if line.suite in self.b.keys)
            crypto = [Crypto(line.tag, line.suite, self.b.keys[line.suite])]
        reply = self.ng.request("answer", sdp=self.b.sdp(crypto),
                                **self._common("answer", self.b, self.a))
        return self.a.hears(reply["sdp"])

    def set_up(self):
        self.offer()
        self.answer()
        return self

    def query(self):
        return self.ng.request("query", call_id=self.call_id)

    def delete(self):
        return self.ng.request("delete", call_id=self.call_id, from_tag=self.from_tag)
