"""turnpikectl capture: the file holds what was on the wire, as tshark and tcpdump read it; of plain
RTP only headers; and every capture is in the log.
"""

import json
import signal
import subprocess

from lib.call import Call, Side
from lib.capture import Capture
from lib.case import case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.pair import Pair
from lib.peer import Peer, connect
from lib.turnpiked import Turnpiked, executable

GCM = "AEAD_AES_128_GCM"
FIELDS = ("frame.interface_name", "frame.packet_flags_direction", "udp.srcport", "udp.dstport",
          "udp.payload", "frame.cap_len", "frame.len", "udp.checksum.status")
IN, OUT = 1, 2


def _ctl(daemon, *words, code=0):
    done = subprocess.run([executable("turnpikectl"), "--socket", daemon.api_path, *words],
                          capture_output=True, text=True, check=False)
    expect(done.returncode == code, f"turnpikectl {words} ended with {done}")
    return done.stdout + done.stderr


def _packets(path):
    """As tshark reads them: a dict of FIELDS each."""
    read = subprocess.run(
        ["tshark", "-n", "-r", path, "-o", "udp.check_checksum:TRUE", "-T", "fields",
         *(word for field in FIELDS for word in ("-e", field))],
        capture_output=True, text=True, check=True)
    packets = [dict(zip(FIELDS, line.split("\t"))) for line in read.stdout.splitlines()]
    for packet in packets:
        packet["direction"] = int(packet["frame.packet_flags_direction"], 0)
    return packets


def _on_wire(capture, port, to_it):
    """Payloads of UDP to or from that port, in order (IPv4 frames)."""
    found = []
    for frame in capture.frames():
        if frame[12:14] != b"\x08\x00" or frame[23] != 17:
            continue
        udp = 14 + 4 * (frame[14] & 15)
        ports = [int.from_bytes(frame[at:at + 2], "big") for at in (udp, udp + 2)]
        if ports[1 if to_it else 0] == port:
            length = int.from_bytes(frame[udp + 4:udp + 6], "big")
            found.append(frame[udp + 8:udp + length].hex())
    return found


def _expect_run(captured, wire, what):
    """`captured` is an unbroken part of `wire`."""
    expect(len(captured) > 40, f"{what}: {len(captured)} packets")
    expect(captured[0] in wire, f"{what}: the first one was not on the wire")
    begin = wire.index(captured[0])
    expect(wire[begin:begin + len(captured)] == captured, f"{what}: not what was on the wire")


def _payloads(packets, leg, direction, port):
    name = "udp.dstport" if direction == OUT else "udp.srcport"
    return [packet["udp.payload"] for packet in packets
            if packet["frame.interface_name"] == leg and packet[name] == str(port) and
            packet["direction"] == direction]


def _call(scratch, daemon):
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    call = Call(daemon.ng, Side(OUTSIDE, 30000, (GCM,)), Side(INSIDE, 20000)).set_up()
    connect(call, outside, inside)
    outside.start()
    inside.start()
    eventually(lambda: inside.total("received") > 20 and outside.total("received") > 20,
               "media passes")
    return call, outside, inside


@case
def the_file_holds_what_was_on_the_wire_and_of_plain_rtp_headers(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    call, _, _ = _call(scratch, daemon)
    path = scratch.folder / "call.pcapng"
    with Capture(OUTSIDE.link) as outer, Capture(INSIDE.link) as inner:
        said = _ctl(daemon, "capture", call.call_id, "-o", path, "--packets", "400")
        eventually(lambda: len(_on_wire(outer, 30000, True)) > 110, "the tap has read it all")
    expect(said == "400 packets captured, 0 missing; enough packets\n", said)
    expect(path.stat().st_mode & 0o777 == 0o600, f"mode {path.stat().st_mode:o}")
    packets = _packets(path)
    expect(len(packets) == 400, f"tshark reads {len(packets)}")
    for direction in (IN, OUT):
        _expect_run(_payloads(packets, "leg a", direction, 30000),
                    _on_wire(outer, 30000, direction == OUT), f"leg a {direction}")
        plain = _payloads(packets, "leg b", direction, 20000)
        _expect_run(plain, [payload[:24] for payload in
                            _on_wire(inner, 20000, direction == OUT)], f"leg b {direction}")
        expect(all(len(payload) == 24 for payload in plain), "more than headers of plain RTP")
    for packet in packets:
        whole = packet["frame.cap_len"] == packet["frame.len"]
        expect(not whole or packet["udp.checksum.status"] == "1", f"checksum: {packet}")
    dumped = subprocess.run(["tcpdump", "-Z", "root", "-nr", path], capture_output=True, text=True,
                            check=False)
    expect(len(dumped.stdout.splitlines()) == 400, f"tcpdump reads something else: {dumped}")
    log = daemon.log_text()
    expect('event=api_operate what=capture by="unix socket"' in log and
           f"object={call.call_id}" in log, "the log does not tell who captured what")
    expect(f'event=capture_end call_id={call.call_id} why="enough packets" packets=400' in log,
           "the log does not tell how it ended")


@case
def what_is_wished_for_is_what_is_written(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    call, _, _ = _call(scratch, daemon)
    path = scratch.folder / "call.pcapng"
    _ctl(daemon, "capture", call.call_id, "-o", path, "--leg", "a", "--headers", "--seconds", "1")
    packets = _packets(path)
    expect(len(packets) > 50, f"{len(packets)} in a second")
    for packet in packets:
        expect(packet["frame.interface_name"] == "leg a", f"{packet}")
        expect(len(packet["udp.payload"]) == 24 or packet["udp.payload"][2:4] in ("c8", "c9"),
               f"more than a header: {packet}")
    _ctl(daemon, "log-level", "error")
    with Capture(INSIDE.link) as inner:
        _ctl(daemon, "capture", call.call_id, "-o", path, "--leg", "b", "--plain-payload",
             "--packets", "200")
        eventually(lambda: len(_on_wire(inner, 20000, True)) > 110, "the tap has read it all")
    plain = _payloads(_packets(path), "leg b", OUT, 20000)
    _expect_run(plain, _on_wire(inner, 20000, True), "plain payload")
    expect(f"object=\"{call.call_id} leg=b plain_payload\"" in daemon.log_text(),
           "the log does not tell of the payload, whatever its level is")
    expect(daemon.log_text().count("event=capture_end") == 2, "nor how it ended")
    said = _ctl(daemon, "capture", "nobody", "-o", path, code=1)
    expect("no such call" in said, said)


def _begin(scratch, daemon, call):
    """A capture that has written packets already."""
    path = scratch.folder / "running.pcapng"
    path.unlink(missing_ok=True)
    running = scratch.spawn(executable("turnpikectl"), "--socket", daemon.api_path, "capture",
                            call.call_id, "--seconds", "600", "-o", path, stderr=subprocess.PIPE)
    eventually(lambda: path.exists() and path.stat().st_size > 10000, "packets come as they pass")
    return running


@case
def a_capture_ends_with_its_call_or_its_reader(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    call, _, _ = _call(scratch, daemon)
    command = [executable("turnpikectl"), "--socket", daemon.api_path, "capture", call.call_id,
               "--seconds", "600", "-o"]
    path = scratch.folder / "left.pcapng"
    left = subprocess.Popen([*command, path], stderr=subprocess.PIPE, text=True)
    eventually(lambda: path.exists() and path.stat().st_size > 10000, "packets come as they pass")
    left.send_signal(signal.SIGINT)
    expect("cut short" in left.communicate(timeout=10)[1] and left.returncode == 0, f"{left}")
    eventually(lambda: 'why="the reader has gone"' in daemon.log_text(), "the log tells")
    expect(_packets(path), "what was written is no file")
    running = [scratch.spawn(*command, scratch.folder / f"{i}.pcapng", stderr=subprocess.PIPE)
               for i in range(4)]
    eventually(lambda: daemon.log_text().count("what=capture ") == 5, "four run")
    expect("4 captures run already" in _ctl(daemon, "capture", call.call_id, "-o", path, code=1),
           "a fifth one runs")
    call.delete()
    for one in running:
        said = one.communicate(timeout=10)[1].decode()
        expect(" 0 missing; the call is over" in said, said)
    eventually(lambda: daemon.log_text().count('why="the call is over"') == 4,
               "the log tells of each")


@case
def a_capture_tells_how_the_daemon_ended(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    call, outside, inside = _call(scratch, daemon)
    ended = _begin(scratch, daemon, call)
    daemon.stop()
    said = ended.communicate(timeout=10)[1].decode()
    expect(" 0 missing; the daemon ends" in said and ended.returncode == 0, said)
    expect('why="the daemon ends"' in daemon.log_text(), "the log tells")
    daemon.start()
    call = Call(daemon.ng, Side(OUTSIDE, 30002, (GCM,)), Side(INSIDE, 20002)).set_up()
    connect(call, outside, inside)
    killed = _begin(scratch, daemon, call)
    daemon.kill()
    said = killed.communicate(timeout=10)[1].decode()
    expect("cut short" in said and killed.returncode == 1, f"{killed.returncode}: {said}")


@case
def an_edge_captures_what_it_passes(scratch):
    pair = Pair(scratch).add_ends().start()
    pair.wait_flows()
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    call = Call(pair.ng, Side(OUTSIDE, 30000, (GCM,)), Side(INSIDE, 20000)).set_up()
    connect(call, outside, inside)
    outside.start()
    inside.start()
    eventually(lambda: inside.total("received") > 20, "media passes")
    name = next(session["call_id"] for session in
                json.loads(pair.edge.control("--json", "sessions"))["sessions"])
    path = scratch.folder / "edge.pcapng"
    with Capture(OUTSIDE.link) as outer:
        pair.edge.control("capture", name, "-o", path, "--packets", "400")
        eventually(lambda: len(_on_wire(outer, 30000, True)) > 110, "the tap has read it all")
    packets = _packets(path)
    legs = {packet["frame.interface_name"] for packet in packets}
    expect(legs == {"leg a", "leg b"}, f"{legs}")
    client = "leg a" if _payloads(packets, "leg a", OUT, 30000) else "leg b"
    core = "leg b" if client == "leg a" else "leg a"
    for direction in (IN, OUT):
        _expect_run(_payloads(packets, client, direction, 30000),
                    _on_wire(outer, 30000, direction == OUT), f"{client} {direction}")
    received = _payloads(packets, client, IN, 30000)
    passed = [packet["udp.payload"] for packet in packets
              if packet["frame.interface_name"] == core and
              packet["direction"] == OUT]
    expect(set(received[5:-5]) <= set(passed), "what the core is sent is not what came")


run()
