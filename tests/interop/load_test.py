"""200 concurrent calls: SRTP by libsrtp2 outside, plain RTP inside, every byte and tag judged."""

from lib import call as calls
from lib.call import Call, Side
from lib.case import case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.peer import Peer, connect, expect_clean
from lib.turnpiked import Turnpiked

CALLS = 200
PACKETS = 250  # per leg: 5 s at 50/s


@case
def two_hundred_srtp_calls_at_once(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    suites = list(calls.KEY_BYTES)
    made = []
    for i in range(CALLS):
        a = Side(OUTSIDE, 30000 + 2 * i, (suites[i % len(suites)],), version=6 if i % 5 == 0 else 4,
                 mux=i % 3 == 0)
        b = Side(INSIDE, 20000 + 2 * i)
        call = Call(daemon.ng, a, b) if i % 2 else Call(daemon.ng, b, a)
        made.append(call.set_up())
        (connect(call, outside, inside) if i % 2 else connect(call, inside, outside))
    ports = {(side.given.address, side.given.port) for call in made for side in (call.a, call.b)}
    expect(len(ports) == 2 * CALLS, f"{2 * CALLS - len(ports)} media addresses were given twice")

    for peer in (outside, inside):
        peer.start()
    for peer in (outside, inside):
        eventually(lambda: min(leg["received"] for leg in peer.report().values()) >= PACKETS,
                   lambda: f"every leg hears {PACKETS} packets", timeout=30, every=0.2)
    for peer in (outside, inside):
        peer.pause()
    sent = outside.total("sent") + inside.total("sent")
    eventually(lambda: outside.total("received") + inside.total("received") == sent,
               lambda: f"{sent} packets arrive, not "
                       f"{outside.total('received') + inside.total('received')}")
    expect_clean(outside, inside)
    gap = max(leg["longest_gap_ms"] for leg in outside.report().values())
    note(f"{CALLS} calls, {sent} RTP packets, none lost, longest pause of a stream {gap} ms, "
         f"{daemon.resident_bytes() >> 20} MiB resident")
    for call in made:
        call.delete()
    eventually(lambda: daemon.sessions() == 0, lambda: f"{daemon.sessions()} sessions are left")


run()
