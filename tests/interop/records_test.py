"""Records of ended calls: what stands in them, rotation, a full disk, a killed daemon."""

import json
import signal
import subprocess

from lib.call import Call, Side
from lib.case import case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.peer import Peer, talk_for_figures
from lib.turnpiked import Holder, Turnpiked

SUITE = "AEAD_AES_128_GCM"


def _records(path):
    """What stands in the file; each line must be a whole one."""
    text = path.read_text("utf-8") if path.exists() else ""
    expect(not text or text.endswith("\n"), f"half a line: {text[-80:]!r}")
    return [json.loads(line) for line in text.splitlines()]


def _logged(daemon, event):
    return [line for line in daemon.log_text().splitlines() if f" event={event} " in line + " "]


def _calls(daemon, count, port=31000):
    """Calls without media that end at once."""
    for i in range(count):
        Call(daemon.ng, Side(OUTSIDE, port + 2 * i), Side(INSIDE, port - 10000)).set_up().delete()


@case
def a_call_leaves_its_figures(scratch):
    scratch.enter(topology())
    path = scratch.folder / "calls.jsonl"
    daemon = Turnpiked(scratch, {"node": {"name": "edge-7"}, "records": {"file": path}})
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    call = Call(daemon.ng, Side(OUTSIDE, 30000, (SUITE,)), Side(INSIDE, 20000)).set_up()
    talk_for_figures(call, outside, inside)
    call.delete()
    record = eventually(lambda: _records(path), "the record is written")[0]
    expect((record["version"], record["node"], record["why"]) == (1, "edge-7", "deleted"), record)
    expect((record["call_id"], record["from_tag"], record["to_tag"]) ==
           (call.call_id, call.from_tag, call.to_tag), record)
    expect(record["started"] <= record["answered"] < record["ended"], record)
    expect(5 < record["answered_seconds"] <= record["seconds"] < 60, record)
    expect(record["verdict_a"] == record["verdict_b"] == "healthy", record)
    legs = record["sessions"][0]["legs"]
    expect(record["sessions"][0]["kind"] == "audio", record)
    expect((legs["a"]["suite"], legs["b"]["suite"]) == (SUITE, "none"), legs)
    expect(legs["a"]["remote"] == f"{OUTSIDE.address()}:30000", legs["a"])
    expect(legs["a"]["packets_received"] == outside.total("sent"), legs["a"])
    expect(legs["b"]["packets_sent"] == inside.total("received"), legs["b"])
    stream = legs["a"]["streams"][0]
    expect(stream["packets"] == outside.total("sent") and stream["packets_lost"] == 0, stream)
    mos = stream["quality"]["mos"]
    expect(4 < mos["lowest"] <= mos["average"] <= mos["highest"] < 4.6, stream)
    expect(stream["quality"]["loss_percent"]["average"] == 0, stream)
    expect("key" not in json.dumps(record).replace("keying", ""), "a key in the record")
    expect(path.stat().st_mode & 0o777 == 0o640, f"mode {path.stat().st_mode:o}")


@case
def a_call_that_nobody_answered_has_no_answer(scratch):
    scratch.enter(topology())
    path = scratch.folder / "calls.jsonl"
    daemon = Turnpiked(scratch, {"records": {"file": path}})
    call = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000))
    call.offer()
    call.delete()
    record = eventually(lambda: _records(path), "the record is written")[0]
    expect((record["answered"], record["answered_seconds"]) == (None, 0), record)


@case
def files_are_rotated_and_reopened(scratch):
    scratch.enter(topology())
    path = scratch.folder / "calls.jsonl"
    daemon = Turnpiked(scratch, {"records": {"file": path, "file_bytes_max": 8192,
                                             "files_max": 3}})
    _calls(daemon, 40)
    eventually(lambda: daemon.total("turnpike_call_records_total", outcome="written") == 40,
               "all are written")
    files = sorted(scratch.folder.glob("calls.jsonl*"))
    expect([file.name for file in files] == ["calls.jsonl", "calls.jsonl.1", "calls.jsonl.2"],
           f"{files}")
    expect(all(file.stat().st_size <= 8192 for file in files), "one is too large")
    found = [record for file in reversed(files) for record in _records(file)]
    expect(found == sorted(found, key=lambda record: record["ended"]) and len(found) > 3, "order")
    path.rename(path.with_name("moved"))
    daemon.signal(signal.SIGHUP)
    eventually(lambda: _logged(daemon, "reload"), "reloaded")
    _calls(daemon, 1)
    eventually(lambda: len(_records(path)) == 1, "a new file is begun")


@case
def a_full_disk_is_told_and_gets_over(scratch):
    scratch.enter(topology())
    disk = scratch.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk], check=True)
    scratch.on_exit(subprocess.run, ["umount", "-l", str(disk)])
    path = disk / "calls.jsonl"
    daemon = Turnpiked(scratch, {"records": {"file": path}})
    _calls(daemon, 40)
    eventually(lambda: daemon.total("turnpike_call_records_total", outcome="lost") > 0,
               "records are lost")
    eventually(lambda: _logged(daemon, "records_lost"), "the log tells")
    line = _logged(daemon, "records_lost")[0]
    expect("No space left on device" in line and str(path) in line, line)
    whole = len(_records(path))
    expect(whole == daemon.total("turnpike_call_records_total", outcome="written"), "not whole")
    expect(len(_logged(daemon, "records_lost")) == 1, "told more than once")
    path.unlink()
    daemon.signal(signal.SIGHUP)
    eventually(lambda: _logged(daemon, "reload"), "reloaded")
    _calls(daemon, 1)
    eventually(lambda: len(_records(path)) == 1, "there is room again")
    eventually(lambda: _logged(daemon, "records_written"), "the log tells that too")


@case
def a_killed_daemon_leaves_whole_lines_and_its_calls_one_record(scratch):
    scratch.enter(topology())
    holder = Holder(scratch)
    path = scratch.folder / "calls.jsonl"
    daemon = Turnpiked(scratch, {"records": {"file": path}}, holder=holder)
    kept = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
    _calls(daemon, 20)
    eventually(lambda: len(path.read_bytes()) > 0 if path.exists() else False, "it writes")
    daemon.kill()
    with open(path, "ab") as file:  # as a death in the middle of a line would leave it
        file.write(b'{"version":1,"call_id":"half')
    daemon.start()
    eventually(lambda: _logged(daemon, "adoption"), "the call is taken over")
    kept.delete()
    eventually(lambda: kept.call_id in path.read_text("utf-8"), "its record is written")
    expect(len([1 for record in _records(path) if record["call_id"] == kept.call_id]) == 1, "twice")
    record = _records(path)[-1]
    expect(record["answered"], "when it was answered is forgotten")


run()
