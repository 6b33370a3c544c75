"""Media blocked and silenced over NG: what the other end hears, and what the daemon says of it."""

import json

from lib.call import Call, Side
from lib.case import case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.ng import NgError
from lib.rtp import RtpSocket, packet, payload_of
from lib.talk import Talk
from lib.turnpiked import Holder, Turnpiked

SPEECH = b"\x5a" * 160


class _Ends:
    """A plain call whose ends talk, and what each of them hears."""

    def __init__(self, scratch, daemon):
        self.call = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
        self.a, self.b = (RtpSocket(scratch, side) for side in (self.call.a, self.call.b))
        talk = Talk(scratch)
        for end in (self.a, self.b):
            talk.begin(end, lambda n: packet(n, SPEECH))
        self._daemon = daemon

    def ask(self, command, **keys):
        self.call.ng.request(command, call_id=self.call.call_id, **keys)

    def hears(self, end):
        """The payload of a packet that was sent from now on, or None when none comes."""
        end.drain()
        for _ in range(3):
            data = end.receive(1)
            if data is None:
                return None
        return payload_of(data)

    def verdict(self, leg, direction):
        listed = json.loads(self._daemon.api("/v1/sessions"))["sessions"]
        answer = json.loads(self._daemon.api("/v1/sessions/" + listed[0]["id"]))
        return answer["legs"][leg]["verdicts"][direction]

    def dropped(self, reason):
        return self._daemon.total("turnpike_relay_packets_dropped_total", reason=reason)


@case
def what_one_participant_sends_is_blocked_and_comes_back(scratch):
    scratch.enter(topology())
    ends = _Ends(scratch, Turnpiked(scratch))
    expect(ends.hears(ends.a) == SPEECH and ends.hears(ends.b) == SPEECH, "both are heard")
    ends.ask("block media", from_tag=ends.call.from_tag, flags=["directional"])
    expect(ends.hears(ends.b) is None, "the caller is heard though it is blocked")
    expect(ends.hears(ends.a) == SPEECH, "the callee is not blocked")
    expect(ends.dropped("blocked_by_command") > 0, "no packet is counted as blocked")
    eventually(lambda: ends.verdict("b", "sent")["verdict"] == "blocked_by_command",
               lambda: f"the verdict says so: {ends.verdict('b', 'sent')}")
    evidence = ends.verdict("a", "received")["evidence"]
    expect("block media" in evidence, evidence)
    ends.ask("unblock media", flags=["all"])
    expect(ends.hears(ends.b) == SPEECH, "the caller is heard again")


@case
def silence_is_sent_instead_of_speech(scratch):
    scratch.enter(topology())
    ends = _Ends(scratch, Turnpiked(scratch))
    ends.ask("silence media", address=ends.call.b.address)
    expect(ends.hears(ends.a) == b"\xff" * 160, "the callee is silent")
    expect(ends.hears(ends.b) == SPEECH, "the caller is not silenced")
    eventually(lambda: ends.verdict("a", "sent")["verdict"] == "silenced_by_command",
               lambda: f"the verdict says so: {ends.verdict('a', 'sent')}")
    ends.ask("unsilence media", address=ends.call.b.address)
    expect(ends.hears(ends.a) == SPEECH, "the callee is heard again")
    for command in ("block DTMF", "play media"):
        try:
            ends.ask(command)
        except NgError as error:
            expect("is not supported" in str(error), error)
        else:
            expect(False, f"{command} is done")


@case
def a_blocked_call_is_blocked_over_a_restart(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch, holder=Holder(scratch))
    ends = _Ends(scratch, daemon)
    ends.ask("block media")
    expect(ends.hears(ends.a) is None and ends.hears(ends.b) is None, "nobody is heard")
    daemon.kill()
    daemon.start()
    eventually(lambda: ends.dropped("blocked_by_command") > 0, "media is blocked after the restart")
    expect(ends.hears(ends.a) is None and ends.hears(ends.b) is None, "somebody is heard")
    ends.ask("unblock media")
    expect(ends.hears(ends.a) == SPEECH and ends.hears(ends.b) == SPEECH, "both are heard")


run()
