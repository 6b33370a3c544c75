"""No ports, no descriptors, no sessions, no disk: new calls are refused with a reason, the calls
that are up go on.
"""

import subprocess

from lib.call import Call, Side
from lib.case import case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.ng import NgError
from lib.peer import Peer, connect, expect_clean
from lib.turnpiked import Turnpiked

CM = "AES_CM_128_HMAC_SHA1_80"


class _Calls:
    """One running call with media, and more calls until the daemon refuses."""

    def __init__(self, scratch, daemon):
        self.daemon = daemon
        self.outside, self.inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
        self.made = [self.new(0)]
        connect(self.made[0], self.outside, self.inside)
        self.outside.start()
        self.inside.start()

    def new(self, i):
        a, b = Side(OUTSIDE, 30000 + 2 * i, (CM,)), Side(INSIDE, 20000 + 2 * i)
        return Call(self.daemon.ng, a, b).set_up()

    def until_refused(self, most):
        """Sets calls up until one is refused; gives the reason."""
        for i in range(1, most):
            try:
                self.made.append(self.new(i))
            except NgError as error:
                return error.reason or error.reply.get("message", "")
        return ""

    def expect_running(self):
        for peer in (self.outside, self.inside):
            before = peer.total("received")
            eventually(lambda: peer.total("received") >= before + 25, "the running call goes on")
        expect_clean(self.outside, self.inside)


@case
def ports_exhausted(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch, {"media": {
        "port_min": 40000, "port_max": 40015, "shards": 1, "quarantine_seconds": 1}})
    calls = _Calls(scratch, daemon)
    reason = calls.until_refused(50)
    expect(reason == "Ran out of ports", f"refused with {reason!r} after {len(calls.made)} calls")
    expect(len(calls.made) == 8, f"8 port pairs on each side carried {len(calls.made)} calls")
    expect(daemon.sessions() == 8, f"a refused call left something: {daemon.sessions()} sessions")
    calls.expect_running()
    calls.made.pop().delete()

    def taken_again():
        try:
            return calls.new(20)
        except NgError:
            return None
    eventually(taken_again, "the ports come back after their quarantine")


@case
def session_limit(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch, {"media": {"sessions_max": 5}})
    calls = _Calls(scratch, daemon)
    reason = calls.until_refused(10)
    expect(reason == "Parallel session limit reached", f"refused with {reason!r}")
    expect(len(calls.made) == 5, f"{len(calls.made)} calls")
    calls.expect_running()


@case
def no_descriptors(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch, files_max=400)
    calls = _Calls(scratch, daemon)
    reason = calls.until_refused(200)
    expect(len(calls.made) > 4, f"{len(calls.made)} calls only")
    expect(reason, f"{len(calls.made)} calls were accepted with 400 descriptors")
    note(f"{len(calls.made)} calls, then {reason!r}")
    calls.expect_running()
    expect(daemon.ng.ping(), "NG does not answer any more")
    for call in calls.made[1:]:
        call.delete()
    eventually(lambda: daemon.sessions() == 1, lambda: f"{daemon.sessions()} sessions are left")


@case
def disk_full(scratch):
    scratch.enter(topology())
    full = scratch.folder / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", full], check=True)
    scratch.on_exit(subprocess.run, ["umount", "-l", full])
    daemon = Turnpiked(scratch, {"log": {"level": "debug"}}, log=full / "log")
    calls = _Calls(scratch, daemon)
    with open(full / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 512)
        except OSError:
            pass
    calls.until_refused(30)  # accepted or refused, each is answered
    calls.expect_running()
    expect(daemon.ng.ping(), "NG does not answer any more")


run()
