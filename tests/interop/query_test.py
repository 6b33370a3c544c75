"""The tree of figures that NG "query" and "delete" give, key by key, of a real call: what billing
and monitoring scripts read there.
"""

import time

from lib.call import Call, Side
from lib.case import case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.peer import Peer, connect
from lib.turnpiked import Turnpiked


def _is(wanted):
    return lambda value: value == wanted


def _between(low, high):
    return lambda value: isinstance(value, int) and low <= value <= high


def _has(*wanted):
    return lambda value: all(one in value for one in wanted)


def _some(value):
    return isinstance(value, int) and value > 0


def _judge(tree, wanted, where=""):
    """Every key of `wanted` that `tree` lacks, or whose value is another one."""
    bad = []
    for key, test in wanted.items():
        name = f"{where}/{key}"
        try:
            value = tree[key]
        except (KeyError, IndexError, TypeError):
            bad.append(f"{name} is missing")
            continue
        if isinstance(test, dict):
            bad += _judge(value, test, name)
        elif not test(value):
            bad.append(f"{name} is {value!r}")
    return bad


def _quality(**more):
    return {"MOS": _between(10, 45), "packet loss": _between(0, 5), "jitter": _between(0, 200),
            "round-trip time": _between(0, 10**7), "round-trip time leg": _between(0, 10**7),
            **more}


def _ssrc(now):
    reported = {"reported at": _between(now - 60, now + 60)}
    return {"packets": _some, "bytes": _some, "packets lost": _between(0, 5),
            "jitter": _between(0, 2000), "payload type": _is(0),
            "average MOS": _quality(samples=_some), "lowest MOS": _quality(**reported),
            "highest MOS": _quality(**reported)}


def _endpoint(side, port):
    return {"family": _is("IPv4"), "address": _is(side.address), "port": _is(port)}


def _tag(side, own, peer, ssrcs, now):
    """What the tree says of the end `side` with the tag `own`."""
    secure = {"crypto suite": _is(side.suites[0])} if side.suites else {}
    rtp = {
        "local port": _is(side.given.port), "local address": _is(side.given.address),
        "family": _is("IPv4"), "endpoint": _endpoint(side, side.port),
        "advertised endpoint": _endpoint(side, side.port),
        "last packet": _between(now - 20, now + 20), "flags": _has("RTP", "filled", "confirmed"),
        "stats": {"packets": _some, "bytes": _some, "errors": _is(0)},
        "stats_out": {"packets": _some, "bytes": _some},
        "SSRC": {str(ssrcs[0]): _ssrc(now)},
        "ingress SSRCs": {0: {"SSRC": _is(ssrcs[0]), "packets": _some, "bytes": _some}},
        "egress SSRCs": {0: {"SSRC": _is(ssrcs[1]), "packets": _some}}, **secure}
    rtcp = {"local port": _is(side.given.rtcp_port), "endpoint": _endpoint(side, side.port + 1),
            "flags": _has("RTCP", "filled"), "stats": {"packets": _between(0, 1000)}}
    flags = _has("initialized", *(["SDES"] if side.suites else []))
    relation = {0: {"tag": _is(peer), "type": _is("offer/answer")}}
    return {"tag": _is(own), "created": _between(now - 60, now + 1),
            "in dialogue with": _is(peer), "subscriptions": relation, "subscribers": relation,
            "medias": {0: {"index": _is(1), "type": _is("audio"),
                           "protocol": _is("RTP/SAVP" if side.suites else "RTP/AVP"),
                           "flags": flags, "streams": {0: rtp, 1: rtcp}}}}


@case
def every_key_that_scripts_read_has_its_value(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    begun = int(time.time())
    call = Call(daemon.ng, Side(OUTSIDE, 30000, ("AES_CM_128_HMAC_SHA1_80",)),
                Side(INSIDE, 20000)).set_up()
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    connect(call, outside, inside)
    outside.start()
    inside.start()
    # A sample of quality takes 5 s.
    eventually(lambda: len([one for one in call.query()["SSRC"].values()
                            if "average MOS" in one]) == 2, "both ends are rated", 20, every=0.5)
    a, b = sorted(int(ssrc) for ssrc in call.query()["SSRC"])
    now = int(time.time())
    wanted = {
        "result": _is("ok"), "created": _between(begun - 1, now),
        "created_us": _between(0, 999999), "last signal": _between(begun - 1, now),
        "SSRC": {str(a): _ssrc(now), str(b): _ssrc(now)},
        "totals": {"RTP": {"packets": _some, "bytes": _some, "errors": _is(0)},
                   "RTCP": {"packets": _between(0, 1000)}},
        "tags": {call.from_tag: _tag(call.a, call.from_tag, call.to_tag, (a, b), now),
                 call.to_tag: _tag(call.b, call.to_tag, call.from_tag, (b, a), now)},
    }
    for command in ("query", "delete"):
        tree = call.query() if command == "query" else call.delete()
        bad = _judge(tree, wanted)
        expect(not bad, f"{command}: " + "; ".join(bad))


run()
