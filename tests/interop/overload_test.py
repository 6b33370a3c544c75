"""More than the relay can do, or nothing at all for a while: calls suffer no longer than that."""

import contextlib
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from lib.call import Call, Side
from lib.case import case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, STRANGER, topology
from lib.peer import Peer, connect, expect_clean
from lib.turnpiked import Turnpiked, executable

CM = "AES_CM_128_HMAC_SHA1_80"
FLOOD = pathlib.Path(__file__).resolve().parent / "lib" / "flood.py"


class _Calls:
    """Calls with media, SRTP outside and plain RTP inside."""

    def __init__(self, scratch, daemon, count, join=connect):
        self.outside, self.inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
        self.made = []
        for i in range(count):
            call = Call(daemon.ng, Side(OUTSIDE, 30000 + 2 * i, (CM,)),
                        Side(INSIDE, 20000 + 2 * i))
            self.made.append(call.set_up())
            join(call, self.outside, self.inside)
        for peer in self.peers:
            peer.start()
        self.hear(50)

    @property
    def peers(self):
        return self.outside, self.inside

    def report(self):
        """Counters by leg, of both sides."""
        return {**self.outside.report(), **self.inside.report()}

    def hear(self, packets):
        before = self.report()
        eventually(lambda: all(counts["received"] >= before[leg]["received"] + packets
                               for leg, counts in self.report().items()),
                   lambda: f"every leg hears {packets} more packets", timeout=20, every=0.05)


COMPETITORS = 3


def _held_back(scratch, sections):
    """A daemon that gets a quarter of one core, so that little is more than it can do. Leaves
    the other cores, if there are any, to the rest."""
    core = min(os.sched_getaffinity(0))
    daemon = Turnpiked(scratch, sections, wrapper=("taskset", "-c", str(core)))
    for _ in range(COMPETITORS):
        scratch.spawn("taskset", "-c", core, sys.executable, "-c", "while True: pass")
    return daemon


def _flood(place, to, kind, seconds=3.0):
    """Packets that one process sent to one port in that time."""
    done = subprocess.run(
        place.command(sys.executable, FLOOD, *to, seconds, kind, 182), check=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=seconds + 20)
    return int(done.stdout)


@case
def a_flood_on_one_port_starves_nobody(scratch):
    scratch.enter(topology())
    daemon = _held_back(scratch, {})
    calls = _Calls(scratch, daemon, 50)
    flooded = calls.made[0]
    spared = [leg for leg in calls.report()
              if leg not in (calls.outside.legs[0], calls.inside.legs[0])]
    # The costliest first: every packet to the SRTP leg has a tag that must be computed.
    for place, side, kind in ((STRANGER, flooded.a, "rtp"), (INSIDE, flooded.b, "rtp"),
                              (STRANGER, flooded.b, "junk")):
        before, dropped = calls.report(), daemon.dropped()
        sent = _flood(place, side.given.rtp, kind)
        expect(sent > 60000, f"a flood of {sent} packets is none")
        calls.hear(25)
        after = calls.report()
        lost = sum(after[leg]["lost"] - before[leg]["lost"] for leg in spared)
        heard = sum(after[leg]["received"] - before[leg]["received"] for leg in spared)
        read = daemon.dropped() - dropped
        note(f"{kind} to the {'SRTP' if side.suites else 'plain'} leg: {sent} packets, {read} read "
             f"and dropped; {lost} of {heard + lost} packets of the other calls lost")
        expect(read > 0, "the flood did not reach the relay")
        expect(lost <= 0.005 * heard, f"{lost} of {heard + lost} packets lost")
    expect_clean(calls.outside, calls.inside, lost_max=1000)
    longest = max(calls.report()[leg]["longest_gap_ms"] for leg in spared)
    note(f"longest pause of a stream: {longest} ms")
    # Their sockets could hide 5 s of starvation: nothing lost, everything late.
    expect(longest < 500, f"a stream paused for {longest} ms")


@case
def a_flood_that_is_there_before_the_call_takes_nothing_of_it(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch, {})
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    call = Call(daemon.ng, Side(OUTSIDE, 30000, (CM,)), Side(INSIDE, 20000)).set_up()
    connect(call, outside, inside)
    floods = [scratch.spawn(*place.command(sys.executable, FLOOD, *side.given.rtp, 8, "junk", 182,
                                           20000))
              for place, side in ((STRANGER, call.a), (INSIDE, call.b))]
    eventually(lambda: daemon.dropped() > 20000, "the floods reach the relay")
    for peer in (outside, inside):
        peer.start()
    eventually(lambda: all(peer.report()[peer.legs[0]]["received"] >= 250
                           for peer in (outside, inside)), "media for 5 s", timeout=10)
    expect(all(flood.poll() is None for flood in floods), "the floods went on meanwhile")
    for peer in (outside, inside):
        counts = peer.report()[peer.legs[0]]
        note(f"{counts['lost']} of {counts['lost'] + counts['received']} packets lost")
        expect(counts["lost"] <= 0.01 * counts["received"], f"{counts['lost']} packets lost")


# At 50 packets a second a socket's buffer holds about 5 s: packets are lost and sequences jump.
# Longer than a live migration of a virtual machine stops it, too.
FREEZE_SECONDS = 10.0
FROZEN_CALLS = 120
PACKETS_A_SECOND = 50
_serial = itertools.count()


def _connect_near_wrap(call, outside, inside):
    """As connect(), but every fourth call's sequences pass 65535 in the middle of the freeze."""
    number = next(_serial)
    sequence = 0x10000 - int(PACKETS_A_SECOND * FREEZE_SECONDS / 2) if number % 4 == 0 else 1000
    ssrc_a, ssrc_b = ((number * 2 + side + 1) * 0x10000 + sequence for side in (0, 1))
    outside.add(call.a, ssrc_a, ssrc_b)
    inside.add(call.b, ssrc_b, ssrc_a)


@case
def frozen_for_ten_seconds_with_calls_up_goes_on_at_once(scratch):
    scratch.enter(topology())
    # A timeout shorter than the freeze: time in which the daemon heard nobody is no silence.
    daemon = Turnpiked(scratch, {"media": {"media_timeout_seconds": 8}})
    calls = _Calls(scratch, daemon, FROZEN_CALLS, _connect_near_wrap)
    other_end = dict(zip(calls.outside.legs + calls.inside.legs,
                         calls.inside.legs + calls.outside.legs))
    daemon.signal(signal.SIGSTOP)
    scratch.on_exit(daemon.signal, signal.SIGCONT)
    begin = time.monotonic()
    eventually(lambda: time.monotonic() - begin >= FREEZE_SECONDS, "the time of the freeze passes",
               timeout=FREEZE_SECONDS + 5, every=0.05)
    before = calls.report()
    daemon.signal(signal.SIGCONT)
    woken = time.monotonic()

    def all_carry_what_was_sent_since():
        now = calls.report()
        # Of its stream a leg has heard or missed so much, counted from the first packet.
        return all(now[leg]["received"] + now[leg]["lost"] > before[other_end[leg]]["sent"]
                   for leg in now)
    eventually(all_carry_what_was_sent_since, "every call carries media that is fresh", timeout=20)
    pause = time.monotonic() - woken
    eventually(lambda: time.monotonic() - woken >= 1.0, "the first second passes", every=0.05)
    after = calls.report()
    note(f"{FROZEN_CALLS} calls, fresh media on every leg {pause:.2f} s after the wake-up, "
         f"{sum(counts['lost'] for counts in after.values())} packets lost of "
         f"{sum(counts['sent'] for counts in after.values())}")
    expect(pause <= 1.0, f"calls went on after {pause:.2f} s")
    lost = sum(counts["lost"] for counts in after.values())
    calls.hear(100)
    expect(sum(counts["lost"] for counts in calls.report().values()) == lost,
           "packets are lost after the wake-up")
    expect_clean(calls.outside, calls.inside, lost_max=int(PACKETS_A_SECOND * FREEZE_SECONDS) + 50)
    expect(daemon.sessions() == FROZEN_CALLS, f"{daemon.sessions()} sessions are left")
    for call in calls.made:
        expect(call.query()["result"] == "ok", f"{call.call_id} is unknown")


LOAD_CALLS = 100
NORMAL, OVERLOAD = 10000, 150000  # packets a second


RELAY, PHONES = ("203.0.113.1", "203.0.113.2"), ("203.0.113.10", "203.0.113.20")
ON_LOOPBACK = {"interface.outside": {"addresses": [RELAY[0]]},
               "interface.inside": {"addresses": [RELAY[1]]}}


def _loopback():
    for address in RELAY + PHONES:  # gone with the namespace of the case
        subprocess.run(["ip", "addr", "replace", f"{address}/32", "dev", "lo"], check=True)


def _on_one_core(scratch, sections):
    return Turnpiked(scratch, sections,
                     wrapper=("taskset", "-c", str(min(os.sched_getaffinity(0)))))


def _generator(scratch, daemon, calls, phases, warm_up=1):
    """turnpike_load on another core; it says on its standard error which phase begins."""
    return scratch.spawn(
        "taskset", "-c", max(os.sched_getaffinity(0)), executable("turnpike_load"),
        "--ng", 2223, "--pid", daemon.pid, "--mode", "srtp-rtp", "--calls", calls,
        "--local", ",".join(PHONES), "--relay", ",".join(RELAY), "--warm-up", warm_up,
        "--phases", phases, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _expect_as_before(later):
    """Whoever works off what had waited is late with all of it. The rest: machines pause."""
    in_time = later["received"] - later["late"]
    expect(in_time >= 0.98 * later["sent"], f"not as before after the first second: {later}")


def _wait_for_phase(generator, phase):
    line = generator.stderr.readline()
    expect(line == f"phase {phase}\n", f"the generator says {line}")


@case
def recovers_within_a_second_of_overload(scratch):
    _loopback()
    daemon = _held_back(scratch, ON_LOOPBACK)
    generator = _generator(scratch, daemon, LOAD_CALLS,
                           f"{NORMAL}:2,{OVERLOAD}:4,{NORMAL}:4")
    slowest = 0.0
    while generator.poll() is None:
        asked = time.monotonic()
        expect(daemon.ng.ping(), "NG does not answer")
        slowest = max(slowest, time.monotonic() - asked)
        with contextlib.suppress(subprocess.TimeoutExpired):
            generator.wait(0.02)
    result = json.loads(generator.stdout.read())
    usual, overload, again = result["phases"]
    in_time = overload["received"] - overload["late"]
    note(f"{overload['sent_per_second']:.0f} packets a second: {overload['received']} of "
         f"{overload['sent']} came out, {in_time} within 100 ms; slowest NG answer "
         f"{1000 * slowest:.0f} ms")
    note(f"back at {NORMAL}: of the first second {again['first_second_received']} of "
         f"{again['first_second_sent']} came out, {again['first_second_late']} of them late")
    expect(usual["received"] == usual["sent"], f"the usual load is too much: {usual}")
    expect(in_time < 0.8 * overload["sent"], f"this is no overload: {overload}")
    expect(overload["received"] > usual["received"], f"less than the usual load passes: {overload}")
    # It takes a moment without rest until a shard sheds what waits. A relay that works off its
    # queues first has a tenth in time.
    expect(in_time >= 0.6 * overload["received"],
           f"of {overload['received']} packets {in_time} came out within 100 ms")
    expect(slowest < 2.0, f"NG answered after {slowest:.2f} s")
    later = {name: again[name] - again[f"first_second_{name}"]
            for name in ("sent", "received", "late")}
    _expect_as_before(later)
    expect(result["checked"] > 0 and not (result["bad"] or result["foreign"] or
                                          result["duplicates"]), f"wrong packets: {result}")


@case
def frozen_for_ten_seconds_with_hundreds_of_calls(scratch):
    """Hundreds of streams: what waited meanwhile must not be delivered first."""
    _loopback()
    daemon = _on_one_core(scratch, ON_LOOPBACK)
    calls, rate = 200, 20000
    generator = _generator(scratch, daemon, calls,
                           f"{rate}:1,{rate}:{FREEZE_SECONDS:.0f},{rate}:1,{rate}:4")
    _wait_for_phase(generator, 0)
    _wait_for_phase(generator, 1)
    daemon.signal(signal.SIGSTOP)
    scratch.on_exit(daemon.signal, signal.SIGCONT)
    _wait_for_phase(generator, 2)
    daemon.signal(signal.SIGCONT)
    result = json.loads(generator.stdout.read())
    _, _, first, later = result["phases"]
    note(f"first second: {first['received']} of {first['sent']}, {first['late']} late; four more: "
         f"{later['received']} of {later['sent']}, {later['late']} late")
    _expect_as_before(later)
    expect(result["bad"] == 0 and result["duplicates"] == 0, f"wrong packets: {result}")


@case
def frozen_right_after_the_first_packets(scratch):
    """Packets wait in a port's socket when the relay opens the connected one for that port: what
    comes from then on must not overtake them."""
    scratch.enter(topology())
    daemon = _held_back(scratch, {})
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    for i in range(40):
        connect(Call(daemon.ng, Side(OUTSIDE, 30000 + 2 * i, (CM,)),
                     Side(INSIDE, 20000 + 2 * i)).set_up(), outside, inside)
    for peer in (outside, inside):
        peer.start()
    eventually(lambda: all(counts["received"] >= 5 for peer in (outside, inside)
                           for counts in peer.report().values()), "calls are up", every=0.02)
    daemon.signal(signal.SIGSTOP)
    scratch.on_exit(daemon.signal, signal.SIGCONT)
    begin = time.monotonic()
    eventually(lambda: time.monotonic() - begin >= 5, "time passes", every=0.05)
    daemon.signal(signal.SIGCONT)
    before = outside.total("received") + inside.total("received")
    eventually(lambda: outside.total("received") + inside.total("received") >= before + 20000,
               "media goes on", timeout=20, every=0.1)
    wrong = {reason: count for reason, count in daemon.drops().items()
             if reason in ("too_old", "replayed", "send_index_used", "auth_failed")}
    expect(not wrong, f"packets overtook each other: {wrong}")
    expect_clean(outside, inside, lost_max=350)  # the time of the freeze


@case
def no_timeout_after_a_freeze(scratch):
    """The time in which the daemon was frozen is nobody's silence, however many calls there are:
    what waits in a session's sockets is looked at before its timer."""
    _loopback()
    daemon = _on_one_core(scratch, {**ON_LOOPBACK, "media": {"media_timeout_seconds": 4}})
    calls, rate = 1500, 50000
    generator = _generator(scratch, daemon, calls, f"{rate}:1,{rate}:6,{rate}:3", warm_up=3)
    for phase in range(3):
        _wait_for_phase(generator, phase)
        if phase:
            daemon.signal(signal.SIGSTOP if phase == 1 else signal.SIGCONT)
    generator.wait(60)
    ends = [line for line in daemon.log_text().splitlines() if "event=call_end " in line]
    timed_out = [line for line in ends if "why=deleted" not in line]
    expect(not timed_out, f"{len(timed_out)} of {len(ends)} calls ended: {timed_out[:1]}")


run()
