"""A plain RTP call between two programs that are not ours, set up by NG alone.

ffmpeg plays known bytes, GStreamer or ffmpeg writes down what arrives; every byte is compared.
"""

import signal

from lib import programs
from lib.call import Call, Side
from lib.case import Failed, case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.programs import play
from lib.turnpiked import Turnpiked


@case
def ffmpeg_and_gstreamer_hear_each_other(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    call = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
    for side in (call.a, call.b):
        expect(side.given.profile == "RTP/AVP", f"profile {side.given.profile}")
        expect(side.given.port % 2 == 0, f"RTP port {side.given.port} is odd")
        expect(36000 <= side.given.port <= 59999, f"port {side.given.port} out of range")
        expect(side.given.address == side.place.host(), f"address {side.given.address}")
    play(scratch, call.a, call.b, programs.ffmpeg_send, programs.gst_receive, 1)
    play(scratch, call.b, call.a, programs.gst_send, programs.ffmpeg_receive, 2)
    play(scratch, call.a, call.b, programs.ffmpeg_send, programs.ffmpeg_receive, 3)
    totals = call.query()["totals"]["RTP"]
    expect(totals["packets"] >= 150, f"query says {totals}")
    expect(totals["errors"] == 0, f"query says {totals}")
    call.delete()


@case
def nothing_is_heard_while_the_daemon_is_stopped(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    call = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
    source = programs.noise(scratch.folder, 1)
    target = scratch.folder / "heard.ul"
    programs.gst_receive(scratch, INSIDE, call.b.port, target)
    programs.wait_bound(call.b)
    daemon.signal(signal.SIGSTOP)
    programs.ffmpeg_send(scratch, OUTSIDE, source, call.a.port, call.a.given.rtp)
    try:
        programs.wait_arrived(source, target, timeout=3.0)
    except Failed:
        pass
    else:
        raise Failed("media flows although the daemon is stopped: it does not go through it")
    daemon.signal(signal.SIGCONT)
    # What was said meanwhile is too old to be heard; the rest comes unchanged again.
    said = source.read_bytes()
    eventually(lambda: len(heard := target.read_bytes()) >= 2 * programs.RATE
               and heard[-programs.RATE:] in said, "a second of it arrives unchanged", every=0.05)


@case
def nothing_is_heard_after_the_call_is_deleted(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    call = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
    source = programs.noise(scratch.folder, 1)
    target = scratch.folder / "heard.ul"
    programs.gst_receive(scratch, INSIDE, call.b.port, target)
    programs.wait_bound(call.b)
    programs.ffmpeg_send(scratch, OUTSIDE, source, call.a.port, call.a.given.rtp)
    programs.wait_arrived(source, target)
    call.delete()
    programs.wait_silent(target)


run()
