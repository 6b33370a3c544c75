"""Reports of streams to a capture server: what a decoder of HEP that is not ours reads in them,
while the call is up and at its end.
"""

# from npm: tests/support/npm_packages

import json
import re
import socket
import subprocess
import urllib.request
from pathlib import Path

from lib.call import Call, Side
from lib.case import case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.peer import Peer, connect, talk_for_figures
from lib.turnpiked import Turnpiked, executable

SUITE = "AEAD_AES_128_GCM"
SERVER = ("127.0.0.1", 9060)
KEY = "0123456789abcdef-capture"
NODE_MODULES = Path(__file__).resolve().parents[2] / "build/npm/node_modules"
DECODE = """
const hep = require("hep-js");
for (const line of require("fs").readFileSync(0, "latin1").split("\\n")) {
  if (line) console.log(JSON.stringify(hep.decapsulate(Buffer.from(line, "hex"))));
}
"""


def _decoded(packets):
    """(what the packet is about, its payload) of each."""
    done = subprocess.run(
        ["node", "-e", DECODE], input="\n".join(packet.hex() for packet in packets), text=True,
        capture_output=True, check=True, env={"PATH": "/usr/local/bin:/usr/bin:/bin",
                                              "NODE_PATH": str(NODE_MODULES)})
    read = [json.loads(line) for line in done.stdout.splitlines()]
    return [(one["rcinfo"], json.loads(one["payload"])) for one in read]


def _key_file(scratch):
    path = scratch.folder / "homer.key"
    path.write_text(KEY + "\n")
    path.chmod(0o640)
    return path


def _reports(outcome):
    text = urllib.request.urlopen("http://127.0.0.1:9464/metrics", timeout=5).read().decode()
    found = re.search(rf'homer_reports_total{{outcome="{outcome}"}} (\S+)', text)
    return float(found.group(1))


@case
def a_capture_server_reads_of_a_call_and_of_its_end(scratch):
    scratch.enter(topology())
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    scratch.on_exit(server.close)
    server.bind(SERVER)
    server.settimeout(5)
    daemon = Turnpiked(scratch, {"node": {"name": "edge-7"}, "homer": {
        "address": "127.0.0.1:9060", "capture_id": 2001, "key_file": _key_file(scratch),
        "interval_seconds": 1}})
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    call = Call(daemon.ng, Side(OUTSIDE, 30000, (SUITE,)), Side(INSIDE, 20000)).set_up()
    talk_for_figures(call, outside, inside)
    call.delete()
    packets = []
    while sum(b'"TYPE":"FINAL"' in packet for packet in packets) < 2:
        packets.append(server.recv(65536))
    read = _decoded(packets)
    for about, _ in read:
        expect((about["captureId"], about["correlation_id"], about["hepNodeName"]) ==
               (2001, call.call_id, "edge-7"), f"{about}")
        expect(about["capturePass"] == KEY, "the key is another one")

    during = [one for one in read if one[0]["payloadType"] == 5]
    expect(len(during) >= 6, f"{len(during)} reports in six seconds, of two streams")
    of_outside = [one for one in during if one[0]["dstIp"] == str(OUTSIDE.address())]
    expect(of_outside and of_outside[0][0]["dstPort"] == 30000, f"{during}")
    for _, report in during:
        block = report["report_blocks"][0]
        expect((report["type"], report["report_count"]) == (201, 1), f"{report}")
        expect((block["fraction_lost"], block["packets_lost"]) == (0, 0), f"{report}")
    expect(len({one[1]["report_blocks"][0]["source_ssrc"] for one in during}) == 2, f"{during}")

    final = {report["PARTY"]: (about, report) for about, report in read
             if about["payloadType"] == 34}
    about, report = final[0]
    expect((about["srcIp"], about["srcPort"]) == (str(OUTSIDE.address()), 30000), f"{about}")
    expect((report["SRC_IP"], report["SRC_PORT"]) == (about["srcIp"], about["srcPort"]),
           f"{report}")
    expect(report["TOTAL_PK"] == outside.total("sent") and report["PACKET_LOSS"] == 0, f"{report}")
    expect(final[1][1]["TOTAL_PK"] == inside.total("sent"), f"{final[1]}")
    expect(4 < report["MIN_MOS"] <= report["MOS"] < 4.6, f"{report}")
    expect((report["VERDICT"], report["WHY"]) == ("healthy", "deleted"), f"{report}")
    eventually(lambda: _reports("sent") == len(packets), "as many as were counted")
    expect(_reports("lost") == 0, "some were lost")
    expect(KEY not in daemon.log_text(), "the key is in the log")


@case
def without_a_server_or_a_key_calls_go_on(scratch):
    scratch.enter(topology())
    path = _key_file(scratch)
    path.chmod(0o644)
    homer = {"address": "127.0.0.1:9060", "key_file": path}
    daemon = Turnpiked(scratch, {"homer": homer})
    eventually(lambda: "event=homer_closed" in daemon.log_text(), "the log tells of the key")
    Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up().delete()
    checked = subprocess.run([executable(), "--check", "--config", daemon.config_path],
                             capture_output=True, text=True, check=False)
    expect(checked.returncode == 0 and "homer.key_file" in checked.stderr, f"{checked}")
    daemon.stop()

    path.chmod(0o640)
    daemon = Turnpiked(scratch, {"homer": homer})
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    call = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
    connect(call, outside, inside)
    outside.start()
    inside.start()
    eventually(lambda: inside.total("received") > 10, "media passes")
    call.delete()
    eventually(lambda: _reports("sent") + _reports("lost") >= 2, "reports went out to nobody")
    expect(daemon.ng.ping(), "NG does not answer any more")


run()
