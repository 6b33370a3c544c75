"""What an operator does with a daemon that carries calls: looks at it, stops it, stops it at once.
"""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from lib.call import Call, Side
from lib.case import case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.peer import Peer, connect
from lib.turnpiked import Turnpiked, executable

SUITE = "AEAD_AES_128_GCM"


def _running(scratch, calls, **node):
    """A daemon with SRTP calls that carry media: (daemon, calls, outside, inside)."""
    scratch.enter(topology())
    daemon = Turnpiked(scratch, {"node": node})
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    made = []
    for i in range(calls):
        a, b = Side(OUTSIDE, 30000 + 2 * i, (SUITE,)), Side(INSIDE, 20000 + 2 * i)
        made.append(Call(daemon.ng, a, b).set_up())
        connect(made[-1], outside, inside)
    outside.start()
    inside.start()
    eventually(lambda: min(leg["received"] for leg in inside.report().values()) > 10,
               "every call carries media")
    return daemon, made, outside, inside


def _logged(daemon, event):
    """The lines of one event."""
    return [line for line in daemon.log_text().splitlines() if f" event={event} " in line + " "]


def _ready():
    try:
        with urllib.request.urlopen("http://127.0.0.1:9464/readyz", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def _ctl(daemon, *words):
    return subprocess.run([executable("turnpikectl"), "--socket", daemon.api_path, *words],
                          capture_output=True, text=True, check=True).stdout


def _tell(daemon, path):
    """POST without a process for each."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(daemon.api_path))
    connection.request("POST", path)
    expect(connection.getresponse().status == 200, path)
    connection.close()


@case
def sigterm_drains_and_says_so(scratch):
    daemon, made, _, inside = _running(scratch, 3, drain_timeout_seconds=60)
    expect(_ready() == 200, "a running daemon is not ready")
    daemon.expects_end = True
    daemon.signal(signal.SIGTERM)
    eventually(lambda: _logged(daemon, "drain"), "the log tells of the drain")
    expect("signal=SIGTERM calls=3" in _logged(daemon, "drain")[0], _logged(daemon, "drain")[0])
    expect(_ready() == 503, f"a draining daemon answers /readyz with {_ready()}")
    expect("draining" in _ctl(daemon, "status"), "turnpikectl does not say that it drains")

    refused = daemon.ng.exchange("offer", call_id="new", from_tag="f", sdp=made[0].a.sdp(),
                                 direction=["outside", "inside"], supports=["load limit"])
    expect(refused["result"] == "load limit", f"a new call got {refused}")
    heard = inside.total("received")
    eventually(lambda: inside.total("received") > heard + 100, "the calls go on")

    for call in made[:-1]:
        call.delete()
    expect(daemon.process.poll() is None, "ended before its last call")
    made[-1].delete()
    code = daemon.process.wait(5)
    expect(code == 0, f"ended with {code}")
    expect(_logged(daemon, "drained"), "the log does not say that it drained")


@case
def drain_ends_after_its_time(scratch):
    daemon, _, _, _ = _running(scratch, 2, drain_timeout_seconds=1)
    code = daemon.stop()
    expect(code == 0, f"ended with {code}")
    lines = _logged(daemon, "drain_timeout")
    expect(lines and "calls=2" in lines[0], f"the log says {lines}")


@case
def second_signal_ends_at_once(scratch):
    daemon, _, _, _ = _running(scratch, 1, drain_timeout_seconds=3600)
    daemon.expects_end = True
    daemon.signal(signal.SIGTERM)
    eventually(lambda: _logged(daemon, "drain"), "the drain has begun")
    daemon.signal(signal.SIGINT)
    code = daemon.process.wait(5)
    expect(code == 0, f"ended with {code}")
    expect(_logged(daemon, "stop_at_once"), "the log does not say so")


@case
def calls_can_be_looked_at(scratch):
    daemon, made, _, inside = _running(scratch, 2)
    status = json.loads(_ctl(daemon, "--json", "status"))
    expect((status["calls"], status["sessions"]) == (2, 2), f"status says {status}")
    table = _ctl(daemon, "sessions").splitlines()
    expect(len(table) == 3, f"sessions shows {table}")
    ours = [line for line in table if made[0].call_id in line.split()]
    expect(len(ours) == 1, f"{made[0].call_id} is not in {table}")

    by_id = _ctl(daemon, "session", ours[0].split()[0])
    expect(f"SRTP {SUITE}" in by_id and "plain RTP" in by_id, by_id)
    expect(f"to {OUTSIDE.address()}:30000" in by_id, by_id)
    expect(made[0].call_id in _ctl(daemon, "session", made[0].call_id), "not found by call-id")

    session = json.loads(_ctl(daemon, "--json", "session", ours[0].split()[0]))
    for side in ("a", "b"):
        leg = session["legs"][side]
        expect(leg["packets_received"] > 10, f"leg {side}: {leg}")
        expect(leg["streams"][0]["packets_lost"] == 0, f"leg {side}: {leg}")
        expect(not leg["drops"], f"leg {side}: {leg}")
    wrong = subprocess.run([executable("turnpikectl"), "--socket", daemon.api_path, "session",
                            "0-99-9"], capture_output=True, text=True, check=False)
    expect((wrong.returncode, wrong.stdout) == (1, ""), f"unknown session: {wrong}")


@case
def top_names_who_carries_most_and_sessions_can_be_searched(scratch):
    daemon, made, outside, _ = _running(scratch, 3)
    sent = outside.total("sent")
    top = json.loads(_ctl(daemon, "--json", "top", "--seconds", "1", "--limit", "2"))
    expect(len(top) == 2, f"top shows {top}")
    # Two ends that send 50 packets a second each.
    expect(all(60 < one["packets_per_second"] < 140 for one in top), f"rates: {top}")
    expect(all(one["loss_percent"] == 0 for one in top), f"loss: {top}")
    expect(outside.total("sent") > sent, "nothing was sent meanwhile")
    found = _ctl(daemon, "sessions", "--search", made[1].call_id.upper())
    expect(made[1].call_id in found and len(found.splitlines()) == 2, found)
    newest = json.loads(_ctl(daemon, "--json", "sessions", "--sort", "newest", "--limit", "1"))
    expect([one["call_id"] for one in newest["sessions"]] == [made[2].call_id], f"{newest}")
    watching = subprocess.Popen([executable("turnpikectl"), "--socket", daemon.api_path, "sessions",
                                 "--watch", "0.2"], stdout=subprocess.PIPE, text=True)
    scratch.on_exit(watching.kill)
    headers = 0
    while headers < 3:
        line = watching.stdout.readline()
        expect(line, "it ended")
        headers += line.startswith("ID ")


def _refused_start(scratch, wrapper):
    """The last words of a daemon that cannot start, which must say so by exit code 1."""
    scratch.enter(topology())
    path = Turnpiked(scratch, start=False).config_path
    done = subprocess.run([*wrapper, executable(), "--config", path], capture_output=True,
                          text=True, check=False, timeout=20)
    expect(done.returncode == 1, f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    return (done.stdout + done.stderr).strip().splitlines()[-1]


@case
def too_few_open_files_are_told_at_start(scratch):
    words = _refused_start(scratch, ("prlimit", "--nofile=20:20", "--"))
    expect("at most 20 open files are allowed" in words and "LimitNOFILE" in words, words)


@case
def too_little_memory_is_told_at_start(scratch):
    words = _refused_start(scratch, ("prlimit", "--as=62914560", "--"))
    expect("start_failed" in words and "memory" in words, words)


@case
def an_interface_without_any_address_is_told_at_start(scratch):
    scratch.enter(topology())
    sections = {"interface.inside": {"addresses": ["10.20.0.77"]}}
    daemon = Turnpiked(scratch, sections, start=False)
    done = subprocess.run([executable(), "--config", daemon.config_path], capture_output=True,
                          text=True, check=False, timeout=20)
    expect(done.returncode == 1, f"exit code {done.returncode}")
    said = done.stdout + done.stderr
    expect("interface.inside.addresses: none of 10.20.0.77 is an address" in said, said)


@case
def one_missing_address_costs_only_itself(scratch):
    scratch.enter(topology())
    addresses = ["198.51.100.1", "198.51.100.77"]
    daemon = Turnpiked(scratch, {"interface.outside": {"addresses": addresses}})
    expect("198.51.100.77 is not an address" in _logged(daemon, "address_missing")[0],
           "the log names the address")
    for i in range(4):
        Call(daemon.ng, Side(OUTSIDE, 30000 + 2 * i), Side(INSIDE, 20000 + 2 * i)).set_up()


@case
def a_call_id_of_digits_is_found(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    offered = daemon.ng.exchange("offer", call_id="90000", from_tag="f",
                                 sdp=Side(OUTSIDE, 30000, (SUITE,)).sdp(),
                                 direction=["outside", "inside"])
    expect(offered["result"] == "ok", f"{offered}")
    expect("90000" in _ctl(daemon, "session", "90000"), "not found by call-id")
    with open("/dev/full", "w", encoding="ascii") as full:
        for words in (["status"], ["sessions"], ["session", "90000"]):
            done = subprocess.run([executable("turnpikectl"), "--socket", daemon.api_path, *words],
                                  stdout=full, stderr=subprocess.PIPE, text=True, check=False)
            expect(done.returncode == 1 and "cannot be written" in done.stderr, f"{words}: {done}")


@case
def end_of_a_call_is_logged_with_its_figures(scratch):
    daemon, made, outside, inside = _running(scratch, 1)
    outside.pause()
    inside.pause()
    eventually(lambda: outside.total("sent") == inside.total("received") and
               inside.total("sent") == outside.total("received"), "the last packets arrive")
    made[0].delete()
    eventually(lambda: _logged(daemon, "call_end"), "the end is logged")
    line = _logged(daemon, "call_end")[0]
    fields = dict(word.split("=", 1) for word in line.split())
    expect(fields["call_id"] == made[0].call_id, line)
    expect(int(fields["a_received"]) == outside.total("sent"), line)
    expect(int(fields["b_received"]) == inside.total("sent"), line)
    expect(fields["a_drops"] == fields["b_drops"] == "none", line)
    expect(fields["a_lost"] == fields["b_lost"] == "0", line)
    whats = [word for line in _logged(daemon, "call") for word in line.split() if "what=" in word]
    expect(whats == ["what=offer", "what=answer"], f"the log tells of {whats}")

SYSLOG = re.compile(r"<(\d+)>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ turnpiked (\d+) (\S+) "
                    r"\[meta sequenceId=\"(\d+)\"\] (level=\w+ event=[ -~]*)", re.ASCII)


def _receiver(scratch, family, address):
    receiver = socket.socket(family, socket.SOCK_DGRAM)
    receiver.bind(address)
    receiver.settimeout(5)
    scratch.on_exit(receiver.close)
    return receiver


def _messages(receiver, until):
    """(severity and facility, process, event, number, text) of each up to that event."""
    read = []
    while not read or read[-1][2] != until:
        message = receiver.recv(65536).decode("ascii")
        whole = SYSLOG.fullmatch(message)
        expect(whole, f"no message of RFC 5424: {message!r}")
        read.append(whole.groups())
    return read


@case
def the_log_goes_to_syslog_receivers_and_waits_for_none(scratch):
    scratch.enter(topology())
    path = str(scratch.folder / "log.sock")
    local = _receiver(scratch, socket.AF_UNIX, path)
    os.chmod(path, 0o666)
    remote = _receiver(scratch, socket.AF_INET, ("127.0.0.1", 5514))
    daemon = Turnpiked(scratch, {"log": {
        "syslog_unix": path, "syslog_udp": "127.0.0.1:5514", "syslog_facility": "local3"}})
    for receiver in (local, remote):
        read = _messages(receiver, "ready")
        expect([int(one[3]) for one in read] == list(range(1, len(read) + 1)), f"numbers: {read}")
        expect(read[-1][:2] == (str(19 * 8 + 6), str(daemon.process.pid)), f"{read[-1]}")
        eventually(lambda text=read[-1][4]: text in daemon.log_text(), "it is on standard output")

    hostile = "x]\" <0>1 - - - - - event=forged \u00e9"
    offered = daemon.ng.exchange("offer", call_id=hostile, from_tag="f",
                                 sdp=Side(OUTSIDE, 30000, (SUITE,)).sdp(),
                                 direction=["outside", "inside"])
    expect(offered["result"] == "ok", f"{offered}")
    line = _messages(remote, "call")[-1]
    expect('call_id="x]\\" <0>1 - - - - - event=forged \\xc3\\xa9"' in line[4], f"{line}")

    # Nobody reads `local` from here on: its queue fills up, and the daemon goes on.
    for level in ["debug", "info"] * 300:
        _tell(daemon, f"/v1/log-level?level={level}")

    def lost():
        text = urllib.request.urlopen("http://127.0.0.1:9464/metrics", timeout=5).read().decode()
        return float(re.search(r'log_lines_total{outcome="lost_to_syslog"} (\S+)', text).group(1))
    eventually(lambda: lost() > 0, "what the receiver did not take is counted")
    expect(daemon.ng.ping(), "NG does not answer any more")
    local.close()
    os.unlink(path)
    again = _receiver(scratch, socket.AF_UNIX, path)
    os.chmod(path, 0o666)
    again.settimeout(0.2)

    def found():
        _tell(daemon, "/v1/log-level?level=info")
        try:
            return _messages(again, "api_operate")
        except TimeoutError:
            return None
    numbers = [int(one[3]) for one in eventually(found, "a receiver that came back is found")]
    expect(numbers[0] > 300, f"numbers go on: {numbers}")


run()
