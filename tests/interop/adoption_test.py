"""kill -9 with encrypted calls up: the next daemon adopts sockets and state from the holder."""
# time limit: 180 s

import glob
import os

from lib import call as calls
from lib.call import Call, Side
from lib.case import case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.peer import Peer, connect, expect_clean
from lib.turnpiked import Holder, Turnpiked

CALLS = 100


def _calls_up(scratch, count=CALLS):
    scratch.enter(topology())
    holder = Holder(scratch)
    daemon = Turnpiked(scratch, holder=holder)
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    suites = list(calls.KEY_BYTES)
    made = []
    for i in range(count):
        a = Side(OUTSIDE, 30000 + 2 * i, (suites[i % 6],), mux=i % 2 == 0)
        b = Side(INSIDE, 20000 + 2 * i, (suites[(i + 1) % 6],) if i % 3 == 0 else ())
        made.append(Call(daemon.ng, a, b).set_up())
        connect(made[-1], outside, inside)
    for peer in (outside, inside):
        peer.start()
    _hear(50, outside, inside)
    return holder, daemon, made, outside, inside


def _hear(packets, *peers):
    for peer in peers:
        before = {leg: counts["received"] for leg, counts in peer.report().items()}
        eventually(lambda: all(counts["received"] >= before[leg] + packets
                               for leg, counts in peer.report().items()),
                   lambda: f"every leg hears {packets} more packets", timeout=30, every=0.1)


@case
def calls_survive_kill_9(scratch):
    _, daemon, made, outside, inside = _calls_up(scratch)
    before = made[0].query()["totals"]["RTP"]["packets"]
    daemon.kill()
    daemon.start()
    _hear(100, outside, inside)
    # Tags verify and no SRTP or SRTCP index comes twice: both count as bad at the far end.
    lost = outside.total("lost") + inside.total("lost")
    expect_clean(outside, inside, lost_max=150)
    pause = max(leg["longest_gap_ms"] for peer in (outside, inside)
                for leg in peer.report().values())
    note(f"{CALLS} calls: longest pause {pause} ms, {lost} packets lost of "
         f"{outside.total('sent') + inside.total('sent')}")
    expect(daemon.sessions() == CALLS, f"{daemon.sessions()} sessions after adoption")
    after = made[0].query()["totals"]["RTP"]["packets"]
    expect(after >= before + 100, f"counters went from {before} to {after}")

    fresh = Call(daemon.ng, Side(OUTSIDE, 31000, ("AEAD_AES_256_GCM",)),
                 Side(INSIDE, 21000)).set_up()
    taken = {(side.given.address, side.given.port) for call in made for side in (call.a, call.b)}
    for side in (fresh.a, fresh.b):
        expect((side.given.address, side.given.port) not in taken, "a port in use was given again")
    for call in made:
        call.delete()
    eventually(lambda: daemon.sessions() == 1, lambda: f"{daemon.sessions()} sessions are left")


@case
def calls_survive_three_deaths(scratch):
    _, daemon, made, outside, inside = _calls_up(scratch, 12)
    for _ in range(3):
        daemon.kill()
        daemon.start()
        _hear(25, outside, inside)
    expect_clean(outside, inside, lost_max=450)
    made[0].delete()


@case
def calls_survive_a_restart_by_sigterm(scratch):
    """An upgrade: the old daemon is told to stop and does not wait for its calls."""
    _, daemon, made, outside, inside = _calls_up(scratch, 12)
    daemon.signal(15)
    daemon.stop()
    daemon.start()
    _hear(50, outside, inside)
    expect_clean(outside, inside, lost_max=150)
    expect(made[0].query()["result"] == "ok", "the call is unknown")


@case
def a_damaged_arena_is_refused(scratch):
    holder, daemon, made, outside, inside = _calls_up(scratch, 12)
    daemon.kill()
    damaged = 0
    for fd in glob.glob(f"/proc/{holder.pid}/fd/*"):
        if os.readlink(fd).startswith("/memfd:"):
            with open(fd, "r+b", buffering=0) as memory:
                memory.seek(0)
                memory.write(os.urandom(64))
                damaged += 1
    expect(damaged > 0, "the holder keeps no memory")
    daemon.start()
    expect("adoption_refused" in daemon.log_text(), "the log does not tell of the refusal")
    expect(daemon.sessions() == 0, f"{daemon.sessions()} sessions adopted from damaged memory")
    sent_before = inside.total("received")
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    fresh = Call(daemon.ng, Side(OUTSIDE, 31000, ("AEAD_AES_256_GCM",)),
                 Side(INSIDE, 21000)).set_up()
    connect(fresh, outside, inside)
    leg = inside.legs[-1]
    outside.start()
    eventually(lambda: inside.report()[leg]["received"] >= 25, "a new call works")
    note(f"{sent_before} packets before the damage")


@case
def without_a_holder_calls_end_and_the_next_start_is_clean(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    call = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
    daemon.kill()
    daemon.start()
    expect(daemon.sessions() == 0, f"{daemon.sessions()} sessions")
    reply = daemon.ng.exchange("query", call_id=call.call_id)
    expect(reply["result"] == "error", f"the call is known: {reply}")


run()
