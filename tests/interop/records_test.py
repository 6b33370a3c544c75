"""Records of ended calls: what stands in them, rotation, a full disk, a killed daemon."""

import contextlib
import itertools
import json
import signal
import subprocess
import threading

from lib.call import Call, Side
from lib.case import case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.ng import Link
from lib.peer import Peer, talk_for_figures
from lib.turnpiked import Holder, Turnpiked

SUITE = "AEAD_AES_128_GCM"
OFFER, ANSWER = Side(OUTSIDE, 30000).sdp(), Side(INSIDE, 20000).sdp()
DEATHS = 3
LOST = "lost in a restart"


def _records(path):
    """What stands in the file; each line must be a whole one."""
    text = path.read_text("utf-8") if path.exists() else ""
    expect(not text or text.endswith("\n"), f"half a line: {text[-80:]!r}")
    return [json.loads(line) for line in text.splitlines()]


def _told(path):
    """Calls that have a record, perhaps while one is being written."""
    whole = path.read_text("utf-8").rpartition("\n")[0]
    return {json.loads(line)["call_id"] for line in whole.splitlines()}


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


class _Traffic:
    """Calls that are set up and torn down without a pause, by a thread of its own."""

    TOGETHER = 20

    def __init__(self, scratch, daemon, name):
        self.offered, self.deleted = set(), set()  # what the daemon has said yes to
        self._name = name
        self._link = Link(scratch, daemon.ng_path)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        scratch.on_exit(self._thread.join)

    def _run(self):
        with contextlib.suppress(ConnectionError):
            for n in itertools.count():
                self._round([f"{self._name}-{n}-{i}" for i in range(self.TOGETHER)])

    def _round(self, ids):
        common = [{"call-id": one, "from-tag": "a", "ICE": "remove"} for one in ids]
        for requests, done in (
                ([dict(c, command="offer", sdp=OFFER, direction=["outside", "inside"],
                       **{"transport-protocol": "RTP/AVP"}) for c in common], self.offered),
                ([dict(c, command="answer", sdp=ANSWER, **{"to-tag": "b"}) for c in common], set()),
                ([dict(c, command="delete") for c in common], self.deleted)):
            for one, reply in zip(ids, self._link.replies(requests)):
                if reply["result"] == "ok":  # ports of calls that are over rest for a while
                    done.add(one)

    def join(self):
        """After the daemon's end."""
        self._thread.join()


def _each_call_has_one_record(scratch, end):
    """`end` is how the daemon ends, several times, each in the middle of many calls."""
    scratch.enter(topology())
    path = scratch.folder / "calls.jsonl"
    daemon = Turnpiked(scratch, {"records": {"file": path}, "media": {"quarantine_seconds": 1}},
                       holder=Holder(scratch))
    offered, deleted = set(), set()
    for n in range(DEATHS):
        busy = [_Traffic(scratch, daemon, f"busy-{n}-{i}") for i in range(2)]
        eventually(lambda: all(len(one.deleted) > 100 for one in busy), "many calls were over", 30)
        end(daemon)
        for one in busy:
            one.join()
            offered |= one.offered
            deleted |= one.deleted
        daemon.start()
    left = daemon.ng.request("list", limit=4000)["calls"]
    for one in left:
        daemon.ng.request("delete", call_id=one, from_tag="a")
    eventually(lambda: offered <= _told(path),
               lambda: f"{len(offered - _told(path))} of {len(offered)} have no record: "
                       f"{sorted(offered - _told(path))[:3]}", 10)
    records = _records(path)
    ids = [record["call_id"] for record in records]
    expect(len(ids) == len(set(ids)), f"{len(ids) - len(set(ids))} have two")
    without = sum(any(session["legs"] is None for session in record["sessions"])
                  for record in records)
    lost = [record["call_id"] for record in records if record["why"] == LOST]
    expect(not deleted & set(lost), "a call that was over is said to be lost")
    expect(max(len(lost), without) < len(ids) / 4,
           f"of {len(ids)} calls {len(lost)} are lost, {without} have no figures")
    note(f"{len(ids)} calls, {DEATHS} ends with {len(left)} calls up at the last: {len(lost)} were "
         f"lost with the process, {without} have no figures")
    return len(lost)


@case
def calls_that_end_while_the_daemon_dies_have_one_record(scratch):
    _each_call_has_one_record(scratch, Turnpiked.kill)


def _hand_over(daemon):
    daemon.expects_end = True
    daemon.signal(signal.SIGUSR1)
    expect(daemon.process.wait(10) == 0, "it ended badly")


@case
def calls_that_end_in_a_hand_over_have_one_record(scratch):
    expect(_each_call_has_one_record(scratch, _hand_over) == 0, "calls are lost")


run()
