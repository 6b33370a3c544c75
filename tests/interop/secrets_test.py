"""Keys of a running call are nowhere but in the media (row 0.17): not in logs, metrics, the API,
the process's environment and command line; and no core dump is left that could hold them.
"""

import base64
import json
import pathlib
import re
import resource
import signal
import struct
import subprocess

from lib.call import Call, Side
from lib.case import case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.peer import Peer, connect
from lib.turnpiked import Turnpiked

SUITES = ("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM")


def _running(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch, {"log": {"level": "debug"}})
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    made = []
    for i, suite in enumerate(SUITES):
        a, b = Side(OUTSIDE, 30000 + 2 * i, (suite,)), Side(INSIDE, 20000 + 2 * i, (suite,))
        made.append(Call(daemon.ng, a, b).set_up())
        connect(made[-1], outside, inside)
    outside.start()
    inside.start()
    eventually(lambda: inside.total("received") > 100, "the calls run")
    keys = {key for call in made for side in (call.a, call.b) for key in side.chosen()[1:]}
    expect(len(keys) == 8, f"{len(keys)} different keys of 2 calls with 4 each")
    return daemon, made, keys


def _forms(key):
    """A key as base64, as hexadecimal, and its master key as bytes."""
    raw = base64.b64decode(key)
    master = raw[:32] if len(raw) > 40 else raw[:16]
    return [key.encode(), raw.hex().encode(), raw.hex().upper().encode(), master]


def _expect_absent(keys, where, data):
    for key in keys:
        for form in _forms(key):
            at = data.find(form)
            expect(at < 0, f"a key stands in {where} at offset {at}")


@case
def keys_are_in_no_text(scratch):
    daemon, made, keys = _running(scratch)
    bad = Side(OUTSIDE, 30100, SUITES)
    daemon.ng.exchange("offer", call_id="bad", from_tag="f", direction=["outside", "nowhere"],
                       sdp=bad.sdp().replace("RTP/SAVP 0", "RTP/SAVP"))
    daemon.ng.exchange("offer", call_id="bad", from_tag="f", sdp=bad.sdp()[:-60])
    keys |= set(bad.keys.values())
    texts = {
        "the log": daemon.log_text().encode(),
        "/metrics": daemon.metrics_text().encode(),
        "the environment": pathlib.Path(f"/proc/{daemon.pid}/environ").read_bytes(),
        "the command line": pathlib.Path(f"/proc/{daemon.pid}/cmdline").read_bytes(),
    }
    ids = [entry["id"] for entry in json.loads(daemon.api("/v1/sessions"))["sessions"]
           if entry["call_id"] == made[0].call_id]
    for path in ("/v1/status", "/v1/sessions", f"/v1/sessions/{ids[0]}"):
        texts[path] = daemon.api(path).encode()
    query = daemon.ng.raw(b"d7:command5:query7:call-id%d:%se" % (
        len(made[0].call_id), made[0].call_id.encode()))
    texts["the answer to query"] = query
    for where, data in texts.items():
        expect(data or where == "the environment", f"{where} is empty: nothing was looked at")
        _expect_absent(keys, where, data)
    note(", ".join(f"{where}: {len(data)} bytes" for where, data in texts.items()))


def _dies_of_abort(process, folder):
    """Whether a core is left in the folder after SIGABRT."""
    process.send_signal(signal.SIGABRT)
    process.wait(10)
    return bool(list(folder.glob("core*")))


@case
def no_core_is_left(scratch):
    daemon, _, _ = _running(scratch)
    limits = pathlib.Path(f"/proc/{daemon.pid}/limits").read_text()
    expect(re.search(r"Max core file size +0 +0 ", limits), f"core dumps are allowed: {limits}")
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
    if pattern.startswith(("|", "/")):
        note(f"cores of this host go to {pattern.strip()}: the limit alone is judged")
        return
    other = scratch.spawn("sleep", "60", cwd=scratch.folder, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2))
    eventually(lambda: pathlib.Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n", "it runs")
    expect(_dies_of_abort(other, scratch.folder), "no process leaves a core here")
    for core in scratch.folder.glob("core*"):
        core.unlink()
    daemon.expects_end, daemon.ended_as = True, -signal.SIGABRT
    expect(not _dies_of_abort(daemon.process, scratch.folder), "the daemon left a core")


@case
def a_forced_dump_leaves_session_state_out(scratch):
    """Root may dump any process. The memory that a holder shares is not part of it."""
    daemon, _, _ = _running(scratch)
    maps = pathlib.Path(f"/proc/{daemon.pid}/maps").read_text()
    shared = [tuple(int(at, 16) for at in span)
              for span in re.findall(r"(?m)^(\w+)-(\w+) .*/memfd:turnpike", maps)]
    expect(shared, "the daemon maps no shared memory")
    core = scratch.folder / "forced"
    subprocess.run(["gcore", "-o", core, str(daemon.pid)], check=True, capture_output=True)
    with open(f"{core}.{daemon.pid}", "rb") as file:
        segments = _loaded_segments(file.read(1 << 20))
    expect(len(segments) > 10, f"the dump has {len(segments)} segments only")
    for low, high in shared:
        for begin, end in segments:
            expect(end <= low or begin >= high, f"the dump holds shared memory at {begin:#x}")


def _dump(scratch, daemon):
    core = scratch.folder / "forced"
    subprocess.run(["gcore", "-o", core, str(daemon.pid)], check=True, capture_output=True)
    return pathlib.Path(f"{core}.{daemon.pid}").read_bytes()


def _places(data, text):
    """Offsets at which the text stands."""
    at = data.find(text)
    while at >= 0:
        yield at
        at = data.find(text, at + 1)


@case
def keys_go_from_memory_with_their_calls(scratch):
    """What a forced dump may hold: docs/security.md says it."""
    daemon, made, keys = _running(scratch)
    during = _dump(scratch, daemon)
    masters = {key: _forms(key)[3] for key in keys}
    expect(all(master in during for master in masters.values()),
           "the dump of running calls lacks keys: nothing can be learned from the other dump")
    for call in made:
        call.delete()
    eventually(lambda: daemon.sessions() == 0, "the sessions end")
    after = _dump(scratch, daemon)
    lines = 0
    for key, master in masters.items():
        expect(master not in after, "a key of an ended call stands in memory")
        text, *hexadecimal = _forms(key)[:3]
        for data in (during, after):
            expect(not any(form in data for form in hexadecimal), "a key stands as hexadecimal")
            for at in _places(data, text):
                before = data[at - 60:at]
                expect(before.endswith(b"inline:") and b"a=crypto:" in before,
                       f"a key stands as text that is no line of SDP: ...{before[-30:]!r}")
        lines += sum(1 for _ in _places(after, text))
    note(f"{lines} a=crypto lines are left in memory after the calls")


def _loaded_segments(core):
    """Address ranges of which a 64-bit ELF core holds the bytes."""
    table, = struct.unpack_from("<Q", core, 32)
    size, count = struct.unpack_from("<HH", core, 54)
    found = []
    for i in range(count):
        kind, _, _, address, _, file_bytes, *_ = struct.unpack_from(
            "<IIQQQQQQ", core, table + i * size)
        if kind == 1 and file_bytes:
            found.append((address, address + file_bytes))
    return found


run()
