"""Why is there no audio: each fault is made outside the daemon, and the verdict is read.

All calls are up at once in one daemon, because silence takes its time to be one.
"""

import json
import os
import subprocess
import time

from lib.call import Call, Side, new_key
from lib.case import case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.peer import Peer
from lib.rtp import RtpSocket, packet, receiver_report
from lib.talk import Talk
from lib.turnpiked import Turnpiked, executable

CM = "AES_CM_128_HMAC_SHA1_80"


class Calls:
    """Calls in one daemon, and what it says of their legs."""

    def __init__(self, scratch, daemon):
        self.scratch, self.daemon, self.talk = scratch, daemon, Talk(scratch)
        self._ports = 0

    def sides(self, **of_a):
        self._ports += 2
        return Side(OUTSIDE, 30000 + self._ports, **of_a), Side(INSIDE, 20000 + self._ports)

    def make(self, a=None, b=None, answers=True, **keys):
        """A plain call whose callee talks, unless it has no socket (`answers`)."""
        if a is None:
            a, other = self.sides()
            b = b or other
        call = Call(self.daemon.ng, a, b, **keys).set_up()
        if answers:
            self.talk.begin(RtpSocket(self.scratch, call.b))
        return call

    def session(self, call):
        listed = json.loads(self.daemon.api("/v1/sessions"))["sessions"]
        return next(one["id"] for one in listed if one["call_id"] == call.call_id)

    def verdict(self, call, leg, direction):
        answer = json.loads(self.daemon.api("/v1/sessions/" + self.session(call)))
        return answer["legs"][leg]["verdicts"][direction]

    def expect(self, call, leg, direction, wanted, evidence=""):
        def found():
            verdict = self.verdict(call, leg, direction)
            return verdict["verdict"] == wanted and evidence in verdict["evidence"] and verdict
        verdict = eventually(found, lambda: f"{leg} {direction} is {wanted} with {evidence!r}: "
                             f"{self.verdict(call, leg, direction)}", timeout=15, every=0.1)
        if wanted != "healthy":
            expect(verdict["remedy"], f"{wanted} has no remedy")


def _nft(scratch, place, rule):
    """A rule for what comes in, at a place or (None) at the daemon's host."""
    inside = ["ip", "netns", "exec", place.name] if place else []
    table = ("table inet fault {\nchain input {\ntype filter hook input priority 0\n"
             f"{rule}\n}}\n}}\n")
    subprocess.run([*inside, "nft", "-f", "-"], input=table, text=True, check=True)
    scratch.on_exit(lambda: subprocess.run([*inside, "nft", "delete table inet fault"],
                                           check=False, stderr=subprocess.DEVNULL))


class BehindNat(Side):
    @property
    def address(self):
        return "192.168.7.7"


@case
def every_fault_has_its_verdict(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch, {"media": {"port_min": 40000, "port_max": 41999}})
    calls = Calls(scratch, daemon)
    talk, made = calls.talk, {}

    # Well, both ways; later one end stops.
    made["well"] = calls.make()
    talk.begin(RtpSocket(scratch, made["well"].a))
    made["stops"] = calls.make()
    stopping = talk.begin(RtpSocket(scratch, made["stops"].a))
    # The same, and its reports go on; or it sends comfort noise from then on.
    made["reports"] = calls.make()
    mute = talk.begin(RtpSocket(scratch, made["reports"].a))
    talk.begin(RtpSocket(scratch, made["reports"].a, port=made["reports"].a.port + 1),
               lambda n: receiver_report(), made["reports"].a.given.rtcp)
    made["noise"] = calls.make()
    speaks = talk.begin(RtpSocket(scratch, made["noise"].a))
    # Nothing is sent.
    made["silent"] = calls.make()
    RtpSocket(scratch, made["silent"].a)
    # A filter before us drops what the client sends.
    made["dropped"] = calls.make()
    port = made["dropped"].a.given.port
    _nft(scratch, None, f"udp dport {port} drop")
    talk.begin(RtpSocket(scratch, made["dropped"].a))
    # The client has another key; or it has changed and the client goes on with the old one; or
    # the client does not encrypt.
    made["key"] = calls.make(*calls.sides(suites=(CM,)))
    made["key"].a.keys[CM] = new_key(CM)
    made["rekeyed"] = calls.make(*calls.sides(suites=(CM,)))
    made["clear"] = calls.make(*calls.sides(suites=(CM,)))
    talk.begin(RtpSocket(scratch, made["clear"].a))
    peer = Peer(scratch, OUTSIDE)
    for i, name in enumerate(("key", "rekeyed")):
        peer.add(made[name].a, 1000 + i, 0xCAFE)
    peer.start()
    # It encrypts where it should not, with tags of 80 and of 32 bits, and of GCM.
    for tag in (10, 4, 16):
        made[f"encrypts {tag}"] = calls.make()
        talk.begin(RtpSocket(scratch, made[f"encrypts {tag}"].a),
                   lambda n, tag=tag: packet(n, os.urandom(160 + tag), timestamp=160 * n))
    # It sends from another port than it said.
    made["moved"] = calls.make()
    moved = talk.begin(RtpSocket(scratch, made["moved"].a, port=31999))
    # The callee is muted by its answer.
    a, b = calls.sides()
    b.direction = "recvonly"
    made["muted"] = calls.make(a, b, answers=False)
    RtpSocket(scratch, b)
    talk.begin(RtpSocket(scratch, a))
    # Nobody listens at the callee's port; a filter there rejects. Both tell the same host of it,
    # which by default hears such things once a second: one of the two at a time.
    subprocess.run(["ip", "netns", "exec", INSIDE.name, "sysctl", "-qw",
                    "net.ipv4.icmp_ratelimit=0"], check=True)
    made["refused"] = calls.make(answers=False)
    talk.begin(RtpSocket(scratch, made["refused"].a))
    made["rejected"] = calls.make(answers=False)
    RtpSocket(scratch, made["rejected"].b)
    _nft(scratch, INSIDE,
         f"udp dport {made['rejected'].b.port} reject with icmpx type admin-prohibited")
    talk.begin(RtpSocket(scratch, made["rejected"].a))
    # A private address, signalled from a public one.
    _, b = calls.sides()
    made["nat"] = calls.make(BehindNat(OUTSIDE, 30900), b, received_from=["IP4", OUTSIDE.address()])
    # No payload type that was agreed.
    made["codec"] = calls.make()
    talk.begin(RtpSocket(scratch, made["codec"].a), lambda n: packet(n, payload_type=97))

    calls.expect(made["rekeyed"], "a", "received", "healthy")
    made["rekeyed"].a.keys[CM] = new_key(CM)
    made["rekeyed"].set_up()
    calls.expect(made["stops"], "a", "received", "healthy")
    talk.stop(stopping)
    calls.expect(made["reports"], "a", "received", "healthy")
    talk.stop(mute)
    talk.stop(speaks)
    talk.begin(speaks, lambda n: packet(n, b"\x50", payload_type=13))

    for leg in "ab":
        for direction in ("received", "sent"):
            calls.expect(made["well"], leg, direction, "healthy")
    for name, leg, direction, wanted, evidence in [
            ("silent", "a", "received", "never_received", "0 packets"),
            ("silent", "b", "sent", "nothing_to_send", "other leg: never_received"),
            ("silent", "b", "received", "healthy", ""),
            ("dropped", "a", "received", "never_received", "0 packets"),
            ("key", "a", "received", "auth_failed", f"from 198.51.100.10:{made['key'].a.port}"),
            ("rekeyed", "a", "received", "auth_failed_since_rekey", "with the key before"),
            ("clear", "a", "received", "rtp_where_srtp_is_due", "198.51.100.10"),
            ("encrypts 10", "a", "received", "srtp_where_rtp_is_due", "170 bytes"),
            ("encrypts 4", "a", "received", "srtp_where_rtp_is_due", "164 bytes"),
            ("encrypts 16", "a", "received", "srtp_where_rtp_is_due", "176 bytes"),
            ("noise", "a", "received", "healthy", "comfort noise in the newest"),
            ("reports", "a", "received", "only_rtcp", "of RTP"),
            ("reports", "b", "sent", "nothing_to_send", "other leg: only_rtcp"),
            ("moved", "a", "received", "wrong_source",
             f"from 198.51.100.10:{moved.port}, expected 198.51.100.10:{made['moved'].a.port}, "
             "policy strict"),
            ("muted", "b", "received", "muted_by_sdp", "its end says recvonly"),
            ("muted", "a", "sent", "muted_by_sdp", "the other end says recvonly"),
            ("muted", "b", "sent", "healthy", ""),
            ("refused", "b", "sent", "unreachable", "port refused"),
            ("refused", "b", "received", "unreachable", f"10.20.0.10:{made['refused'].b.port}"),
            ("rejected", "b", "sent", "unreachable", "unreachable"),
            ("nat", "a", "received", "one_way_nat", "192.168.7.7"),
            ("codec", "a", "received", "payload_type", "payload type 97"),
            ("stops", "a", "received", "stopped", "the last ")]:
        calls.expect(made[name], leg, direction, wanted, evidence)

    # Of many warnings at once the log leaves some out: it is silent once more, alone this time.
    talk.begin(mute)
    calls.expect(made["reports"], "a", "received", "healthy")
    talk.stop(mute)
    _everything_else_says_the_same(daemon, made)
    _quality_is_told(made["well"], daemon)


def _everything_else_says_the_same(daemon, made):
    """The command, NG, and the log of calls that are up and of their end."""
    def logged(event, call):
        return [line for line in daemon.log_text().splitlines()
                if f"event={event} " in line and f"call_id={call.call_id} " in line]
    shown = subprocess.run(
        [executable("turnpikectl"), "--socket", daemon.api_path, "session",
         made["moved"].call_id], capture_output=True, text=True, check=True).stdout
    expect("from it   wrong_source: " in shown and "port-latching" in shown, shown)
    medias = made["key"].query()["tags"][made["key"].from_tag]["medias"]
    expect(medias[0]["diagnosis"]["received"]["verdict"] == "auth_failed", medias)
    eventually(lambda: logged("no_media", made["silent"]), "the log tells of silence", timeout=15)
    eventually(lambda: logged("no_media", made["reports"]), "RTCP hides no silence", timeout=20)
    line = logged("no_media", made["reports"])[0]
    expect("from_leg=a" in line and "verdict=only_rtcp" in line, line)
    line = logged("no_media", made["silent"])[0]
    expect("from_leg=a" in line and "verdict=never_received" in line, line)
    expect(not logged("no_media", made["well"]), "the log finds fault with a call that is well")
    for name, leg, wanted in [("key", "a", "auth_failed"), ("moved", "a", "wrong_source"),
                              ("refused", "b", "unreachable")]:
        call = made[name]
        call.delete()
        line = eventually(lambda: logged("call_end", call), f"the log tells of {name}'s end")[0]
        expect(f"verdict_{leg}={wanted}" in line, line)


def _quality_is_told(call, daemon):
    """MOS in tenths, as clients of the protocol read it; and at the end the call was well."""
    streams = eventually(
        lambda: [one for one in call.query()["SSRC"].values() if "average MOS" in one],
        "a stream has an average MOS")
    best = streams[0]["highest MOS"]
    expect(40 <= best["MOS"] <= 45 and best["packet loss"] <= 5, streams[0])
    expect(abs(best["reported at"] - time.time()) < 60, best)
    expect(streams[0]["average MOS"]["samples"] >= 1, streams[0])
    call.delete()
    line = eventually(lambda: [one for one in daemon.log_text().splitlines()
                               if "event=call_end " in one and call.call_id + " " in one],
                      "the log tells of the end")[0]
    expect("verdict_a=healthy verdict_b=healthy" in line, line)


run()
