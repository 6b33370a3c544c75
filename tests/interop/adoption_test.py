"""kill -9 with encrypted calls up: the next daemon adopts sockets and state from the holder."""
# time limit: 180 s

import contextlib
import glob
import os
import signal
import subprocess
import time

from lib import call as calls
from lib.call import Call, Side
from lib.case import case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.peer import Peer, connect, expect_clean
from lib.turnpiked import Holder, Turnpiked, executable

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


def _told_of_adoption(daemon):
    """The log's lines about it; a thread of its own writes them."""
    def lines():
        return [line for line in daemon.log_text().splitlines() if "event=adoption " in line]
    eventually(lines, "the log tells of the adoption")
    return lines()


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
    told = _told_of_adoption(daemon)
    expect(len(told) == 1 and f"calls={CALLS} sessions={CALLS} sessions_damaged=0" in told[0],
           f"the log tells of the adoption: {told}")
    expect("taken over" not in daemon.log_text(), "the log has a line for each call")
    expect(daemon.total("turnpike_calls_adopted") == CALLS, "/metrics counts other calls")
    expect(daemon.total("turnpike_adoption_losses") == 0, "/metrics tells of losses")
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


NEW_SHAPE = """
[media]
shards = 3
sessions_max = 500
port_min = 40000
port_max = 49999
"""


@case
def calls_survive_a_changed_shape(scratch):
    """Its new values wait for a start that finds no call."""
    _, daemon, made, outside, inside = _calls_up(scratch, 12)
    shards = daemon.total("turnpike_relay_shards")
    usual = daemon.config_path.read_text()
    for _ in range(2):
        daemon.kill()
        daemon.config_path.write_text(usual + NEW_SHAPE)
        daemon.start()
        _hear(50, outside, inside)
        expect(daemon.sessions() == 12, f"{daemon.sessions()} sessions after adoption")
    expect_clean(outside, inside, lost_max=300)
    eventually(lambda: daemon.log_text().count("event=settings_kept") == 2, "a warning per start")
    told = next(line for line in daemon.log_text().splitlines() if "settings_kept" in line)
    new = "media.shards=3 media.sessions_max=500 media.port_min=40000 media.port_max=49999"
    old = (f"media.shards={shards:.0f} media.sessions_max=4000 media.port_min=36000 "
           "media.port_max=59999")
    expect(f'level=warning event=settings_kept configured="{new}" kept="{old}"' in told, told)
    expect(daemon.total("turnpike_relay_sessions_max") == 4000, "another limit holds")
    for call in made:
        call.delete()
    eventually(lambda: daemon.sessions() == 0, "all calls are over")
    daemon.kill()
    daemon.start()
    expect(daemon.total("turnpike_relay_sessions_max") == 500, "the new limit does not hold")
    expect(daemon.total("turnpike_relay_shards") == 3, "the new number of shards does not hold")
    expect(daemon.log_text().count("event=settings_kept") == 2, "nothing had to be kept")
    fresh = Call(daemon.ng, Side(OUTSIDE, 31000, ("AEAD_AES_256_GCM",)),
                 Side(INSIDE, 21000)).set_up()
    for side in (fresh.a, fresh.b):
        expect(40000 <= side.given.port <= 49999, f"port {side.given.port} was given")
    fresh.query()  # its shard answers, so it has the call: on a busy host that takes a moment
    daemon.kill()
    daemon.config_path.write_text(usual)
    daemon.start()
    expect(fresh.query()["result"] == "ok", "the call is unknown")


@case
def a_restart_does_not_drain_and_a_stop_does(scratch):
    scratch.enter(topology())
    holder = Holder(scratch)
    daemon = Turnpiked(scratch, {"node": {"drain_timeout_seconds": 600}}, holder=holder)
    call = Call(daemon.ng, Side(OUTSIDE, 30000, ("AEAD_AES_128_GCM",)), Side(INSIDE, 20000))
    call.set_up()
    daemon.expects_end = True
    daemon.signal(signal.SIGUSR1)
    code = daemon.process.wait(10)
    expect(code == 0 and "event=hand_over calls=1" in daemon.log_text(), f"ended with {code}")
    daemon.start()
    expect(call.query()["result"] == "ok", "the call is unknown")
    daemon.expects_end = True
    daemon.signal(signal.SIGTERM)
    eventually(lambda: "event=drain " in daemon.log_text(), "a stop waits for the call")
    call.delete()
    code = daemon.process.wait(10)
    expect(code == 0 and "event=drained" in daemon.log_text(), f"ended with {code}")


@case
def a_restart_without_a_holder_drains(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch, {"node": {"drain_timeout_seconds": 600}})
    call = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
    daemon.expects_end = True
    daemon.signal(signal.SIGUSR1)
    eventually(lambda: "event=drain " in daemon.log_text(), "it waits for the call")
    eventually(lambda: "hand_over_impossible" in daemon.log_text(), "the log says why")
    call.delete()
    code = daemon.process.wait(10)
    expect(code == 0, f"ended with {code}")


@case
def a_second_daemon_takes_nothing_from_a_live_one(scratch):
    holder, daemon, made, outside, inside = _calls_up(scratch, 12)
    # With its own NG socket it would get as far as the holder, were there no lock.
    other = scratch.folder / "other.toml"
    other.write_text(daemon.config_path.read_text().replace("ng.sock", "ng2.sock")
                     .replace("api.sock", "api2.sock").replace("127.0.0.1:2223", "127.0.0.1:2224"))
    for path in (daemon.config_path, other):
        second = subprocess.run([executable(), "--config", path], capture_output=True, text=True,
                                timeout=30, check=False)
        expect(second.returncode == 1, f"the second one ended with {second.returncode}")
        expect(f"process {daemon.pid}" in second.stdout and "stop it first" in second.stdout,
               second.stdout)
    # Even one that does not see the lock is turned away by the holder.
    (holder.path.parent / (holder.path.name + ".lock")).unlink()
    second = subprocess.run([executable(), "--config", other], capture_output=True, text=True,
                            timeout=30, check=False)
    expect(second.returncode == 1 and "serves another turnpiked" in second.stdout, second.stdout)
    _hear(50, outside, inside)
    expect_clean(outside, inside)
    daemon.kill()
    daemon.start()
    _hear(50, outside, inside)
    expect(daemon.sessions() == 12, f"{daemon.sessions()} sessions after adoption")
    expect(made[0].query()["result"] == "ok", "the call is unknown")


def _slowest_reply_ms(daemon, call, seconds):
    """Of NG requests one after the other; some are an offer and its answer, taken together."""
    slowest, count, calls_made = 0, 0, 0
    start = begin = time.monotonic()
    while begin < start + seconds:
        if begin - start > calls_made / 4:
            Call(daemon.ng, Side(OUTSIDE, 32000 + 2 * calls_made, ("AEAD_AES_128_GCM",)),
                 Side(INSIDE, 22000 + 2 * calls_made)).set_up()
            calls_made += 1
        else:
            call.query()
        now = time.monotonic()
        slowest, count, begin = max(slowest, 1000 * (now - begin)), count + 1, now
    note(f"{count} requests, the slowest took {slowest:.1f} ms")
    return slowest


def _kept(daemon):
    return daemon.total("turnpike_relay_holder_connected") == 1


@case
def a_stopped_holder_stops_nobody(scratch):
    holder, daemon, made, outside, inside = _calls_up(scratch, 12)
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        # Long enough for several attempts at the holder, and for more calls than sockets in stock.
        slowest = _slowest_reply_ms(daemon, made[0], 8)
        expect(slowest < 100, f"a request took {slowest:.0f} ms")
        expect(not _kept(daemon), "the daemon believes that the holder keeps its calls")
        eventually(lambda: "holder_lost" in daemon.log_text(), "the log tells of it")
        _hear(50, outside, inside)
    finally:
        os.kill(holder.pid, signal.SIGCONT)
    eventually(lambda: _kept(daemon), "the holder keeps the calls again", timeout=10)
    sessions = daemon.sessions()
    daemon.kill()
    daemon.start()
    _hear(50, outside, inside)
    expect(daemon.sessions() == sessions, f"{daemon.sessions()} of {sessions} after adoption")
    expect_clean(outside, inside, lost_max=150)


@case
def a_full_holder_keeps_what_it_has_and_is_told(scratch):
    scratch.enter(topology())
    holder = Holder(scratch, "--max", 50)
    daemon = Turnpiked(scratch, holder=holder)
    Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
    eventually(lambda: "event=holder_lost" in daemon.log_text(), "the log tells of it")
    line = next(one for one in daemon.log_text().splitlines() if "event=holder_lost" in one)
    expect("it is full; raise its --max" in line, line)
    log = (scratch.folder / "holder.log").read_text()
    expect("closing 50 descriptors" not in log, f"what was kept is thrown away: {log}")


def _memories(holder, name=""):
    """The shared memory that the holder keeps. It may be closing other descriptors meanwhile."""
    found = []
    for fd in glob.glob(f"/proc/{holder.pid}/fd/*"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(fd).startswith(f"/memfd:{name}"):
                found.append(fd)
    return found


@case
def a_damaged_arena_is_refused(scratch):
    holder, daemon, made, outside, inside = _calls_up(scratch, 12)
    daemon.kill()
    damaged = 0
    for fd in _memories(holder):
        with open(fd, "r+b", buffering=0) as memory:
            memory.seek(0)
            memory.write(os.urandom(64))
            damaged += 1
    expect(damaged > 0, "the holder keeps no memory")
    daemon.start()
    eventually(lambda: "adoption_refused" in daemon.log_text(), "the log tells of the refusal")
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
def what_is_damaged_is_told(scratch):
    holder, daemon, made, _, _ = _calls_up(scratch, 12)
    daemon.kill()
    [records] = _memories(holder, "turnpike-records")
    with open(records, "r+b", buffering=0) as memory:
        # The first record is the DTLS certificate; without it another one is made.
        for place in (512 + 100, memory.read().index(made[0].call_id.encode())):
            memory.seek(place)
            memory.write(b"damage")
    daemon.start()
    told = _told_of_adoption(daemon)
    expect(len(told) == 1 and "level=warning" in told[0] and "calls=11 sessions=12" in told[0] and
           "sessions_without_call=1 records_damaged=2" in told[0], f"the log tells: {told}")
    expect(daemon.total("turnpike_adoption_losses", what="record_damaged") == 2, "no metric")
    expect(daemon.total("turnpike_adoption_losses", what="session_without_call") == 1, "no metric")


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
