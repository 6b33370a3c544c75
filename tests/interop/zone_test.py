"""Edge, firewall and core: the zone comes up from inside only, carries byte streams both ways,
comes back after every kind of loss, and refuses strangers with a reason that an operator can read.
"""

import contextlib
import hashlib
import hmac
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import time

from lib.case import case, eventually, expect, run
from lib.certificates import Certificates
from lib.pair import CORE, EDGE, LISTEN_PORT, ZONE_PORT, Client, Pair
import netns
from pair_node import PairError

ALPN = "turnpike-zone/1"


@case
def comes_up_from_inside_only(scratch):
    pair = Pair(scratch).start()
    text = pair.edge.text()
    for wanted in ("zone dmz, kind uc: up, this node is the edge",
                   "peer core1 (core.example.com): up", "calls itself core-1",
                   "names core.example.com, cluster.example.com, ends in 39", "TLSv1.3",
                   "signalling, opened by the edge: up"):
        expect(wanted in text, f"{wanted!r} is not in: {text}")
    eventually(lambda: "round trip unknown" not in pair.core.text(), "round trips are measured")
    expect(pair.edge.metric("turnpike_zone_connection_up", zone="dmz", peer="core1") == 2,
           "the metric does not say up")
    with netns.inside("tp-edge"), socket.socket() as link:
        link.settimeout(0.5)
        try:
            link.connect((CORE, 22))
            expect(False, "the firewall lets the edge connect")
        except OSError:
            pass
    expect(pair.dropped_from_edge() >= 1, "the firewall has not counted the edge's own attempt")


@case
def the_edge_never_sends_on_its_own(scratch):
    pair = Pair(scratch).start()
    for place in ("tp-edge", "tp-core"):
        client = Client(scratch, place)
        expect(client.echo("REGISTER") == "same", f"no echo from {place}")
        client.close()
    pair.core.kill()
    eventually(lambda: not pair.edge.is_up(), "the edge sees the core die")
    expect(pair.dropped_from_edge() == 0, "the edge has sent what is no reply")


@case
def carries_streams_from_either_end(scratch):
    pair = Pair(scratch).start()
    for place, echo in (("tp-edge", pair.core_echo), ("tp-core", pair.edge_echo)):
        before = echo.connections
        client = Client(scratch, place, times=100000)
        expect(client.echo("INVITE sip:bob@example.com") == "same", f"2.6 MB from {place}")
        expect(echo.connections == before + 1, f"{place}: the wrong end answered")
        client.close()
    expect(pair.edge.zone()["streams_opened"] == 2, pair.edge.text())
    eventually(lambda: all(one["streams"] == 0 for one in pair.core.peer()["connections"]),
               "streams go when both ends have ended them")


@case
def other_accounts_get_nothing(scratch):
    pair = Pair(scratch).start()
    for place, node in (("tp-edge", pair.edge), ("tp-core", pair.core)):
        answer = Client(scratch, place, account="nobody").echo("INVITE")
        expect(answer.startswith("broken"), f"nobody got {answer!r} in {place}")
        expect(node.metric("turnpike_zone_streams_refused_total", reason="wrong_account") == 1,
               node.text())
    expect(pair.edge_echo.connections + pair.core_echo.connections == 0, "something was carried")


@case
def comes_back_after_either_end_was_restarted(scratch):
    pair = Pair(scratch).start()
    for node, other in ((pair.edge, pair.core), (pair.core, pair.edge)):
        client = Client(scratch, other.place)
        expect(client.echo("before") == "same", "no echo")
        node.kill()
        eventually(lambda: not other.is_up(), "the other end sees it")
        expect(client.echo("meanwhile").startswith("broken"), "the local end is not told")
        expect(Client(scratch, other.place).echo("too early").startswith("broken"),
               "a stream to nowhere was taken")
        node.start()
        pair.wait_up()
        expect(Client(scratch, other.place).echo("after") == "same", "no echo afterwards")
    expect(pair.core.peer()["connections"][0]["last_error"] is None
           or pair.edge.peer()["connections"][0]["connected"] >= 2, pair.edge.text())


@case
def outlives_a_firewall_that_forgets(scratch):
    pair = Pair(scratch).start()
    client = Client(scratch, "tp-edge")
    expect(client.echo("before") == "same", "no echo")
    pair.flush_firewall()
    expect(client.echo("after") == "same", "the stream did not outlive it")
    expect(pair.core.peer()["connections"][1]["connected"] == 1, "it was connected anew")


@case
def a_dead_path_is_noticed_and_told(scratch):
    pair = Pair(scratch).start()
    subprocess.run(["ip", "link", "set", "tp-c", "down"], check=True)
    eventually(lambda: not any(one["state"] == "up" for node in (pair.core, pair.edge)
                               for one in node.peer()["connections"]),
               "both ends notice, on every connection", 20)
    text = pair.edge.text()
    expect("has not answered keep-alives" in text, text)
    subprocess.run(["ip", "link", "set", "tp-c", "up"], check=True)
    pair.wait_up(40)
    expect(pair.core.metric("turnpike_zone_ended_total", reason="silent") >= 2, pair.core.text())


# -- media flows ----------------------------------------------------------------------------------

@case
def media_flows_are_bound_from_inside(scratch):
    pair = Pair(scratch).start()
    pair.wait_flows()
    flow = pair.edge.peer()["flows"][0]
    expect(flow["address"].startswith(CORE + ":"), f"the edge sees the core at {flow['address']}")
    expect("1 of 1 flows bound, round trip" in pair.core.text(), pair.core.text())
    expect(pair.edge.metric("turnpike_zone_flow_bound", zone="dmz", peer="core1") == 1, "metric")
    for node in (pair.edge, pair.core):
        node.kill()
        node.start()
        pair.wait_up()
        pair.wait_flows()
    expect(len(pair.edge.peer()["flows"]) == 1, "flows of a process that is gone are left")
    expect(pair.dropped_from_edge() == 0, "the edge has sent what is no reply")


@case
def media_flows_that_the_firewall_stops_are_told(scratch):
    pair = Pair(scratch)
    pair.close_flows()
    pair.start()
    eventually(lambda: pair.core.peer()["flows"][0]["unanswered"] > 2,
               lambda: f"the core asks: {pair.core.text()}")
    for node in (pair.edge, pair.core):
        expect("0 of 1 flows bound" in node.text() and "look at the firewall's rule" in node.text(),
               node.text())
        expect(node.metric("turnpike_zone_flows_unbound") == 1, "metric")
    pair.open_flows()
    pair.wait_flows()


@case
def tls_connections_are_told(scratch):
    pair = Pair(scratch).start()
    for node, other, dialled in ((pair.edge, "core", "the peer"), (pair.core, "edge", "this node")):
        told = json.loads(node.ask("tls", "connections", as_json=True))
        expect(len(told["connections"]) == 2 and told["handshakes_waiting"] == 0, f"{told}")
        for one in told["connections"]:
            expect(one["dialled_by"] == dialled and one["version"] == "TLSv1.3", f"{one}")
            expect(one["verified"] == "subject alternative name"
                   and one["matched_name"] == f"{other}.example.com"
                   and one["server_name"] == "edge.example.com", f"{one}")
            expect(one["certificate"]["subject"].startswith(f"CN={other}.example.com"), f"{one}")
        text = node.ask("tls", "connections")
        expect(f"SAN       {other}.example.com  edge.example.com" in text, text)
    pair.core.stop()
    eventually(lambda: "no TLS connections" in pair.edge.ask("tls", "connections"), "they go")


# -- who is not let in ----------------------------------------------------------------------------

def _tls(pair, certificate=None, *more):
    """openssl s_client from the core's place: (process with pipes)."""
    files = pair.pki / "zone-dmz"
    shown = [] if certificate is None else ["-cert", files / f"{certificate}.pem", "-key",
                                            files / f"{certificate}.key"]
    words = ["ip", "netns", "exec", "tp-core", "openssl", "s_client", "-connect",
             f"{EDGE}:{ZONE_PORT}", "-nocommands", "-alpn", ALPN, *shown, *more]
    return subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _refused_tls(pair, reason, certificate=None, *more):
    before = pair.edge.refused(reason)
    process = _tls(pair, certificate, *more)
    try:
        eventually(lambda: pair.edge.refused(reason) == before + 1,
                   lambda: f"{reason} is counted: {pair.edge.text()}")
    finally:
        process.kill()
        process.communicate()
    text = pair.edge.text()
    expect(f"({reason})" in text, f"{reason} is not shown: {text}")
    last = pair.edge.zone()["last_refusal"]
    expect(last["reason"] == reason and last["address"].startswith(CORE), f"{last}")


@case
def strangers_are_refused_with_the_reason(scratch):
    pair = Pair(scratch).start()
    san = "DNS:core.example.com,DNS:cluster.example.com"
    certificates = Certificates(pair.pki / "zone-dmz")
    certificates.authority("other")
    _refused_tls(pair, "no_certificate")
    _refused_tls(pair, "unknown_ca", certificates.make("ca2", san, authority="other"))
    _refused_tls(pair, "wrong_name", certificates.make("san", "DNS:mallory.example.com"))
    _refused_tls(pair, "common_name_only",
                 certificates.make("cn", "", common_name="core.example.com"))
    _refused_tls(pair, "no_client_auth", certificates.make("server", san, "serverAuth"))
    _refused_tls(pair, "no_server_auth", certificates.make("client", san, "clientAuth"))
    _refused_tls(pair, "expired", certificates.make("old", san, expired=True))
    good = certificates.make("good", san)
    _refused_tls(pair, "tls_too_old", good, "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
    _refused_tls(pair, "too_slow", good)
    expect(pair.edge.is_up() and pair.core.is_up(), "the zone itself was touched")
    logged = pair.edge.log_text()
    expect("event=zone_refused" in logged and "wanted core.example.com" in logged, logged[-1500:])


@case
def the_common_name_counts_where_the_zone_says_so(scratch):
    pair = Pair(scratch)
    certificates = Certificates(pair.pki / "zone-dmz")
    certificates.make("peer-core1", "", common_name="core.example.com")
    certificates.make("node", "", common_name="edge.example.com")
    inside = {"kind": "traversal", "verify_name": "san-or-cn", "tls_verify_subject": None}
    for node in (pair.edge, pair.core):
        node.configure(inside)
    pair.start()
    expect(pair.edge.peer()["certificate"]["subject"] == "CN=core.example.com", pair.edge.text())
    expect("kind traversal" in pair.edge.text(), pair.edge.text())
    # No other name, and the common name only where there is no alternative one.
    _refused_tls(pair, "wrong_name", certificates.make("cn", "", common_name="else.example.com"))
    _refused_tls(pair, "wrong_name", certificates.make("san", "DNS:else.example.com",
                                                       common_name="core.example.com"))
    # The default takes none, and the zone of the mission cannot be told to.
    for kind, said in (("traversal", None), ("uc", "would weaken a zone of kind")):
        for node in (pair.edge, pair.core):
            node.stop()
            node.configure({**inside, "kind": kind, "tls_verify_subject": "core.example.com",
                            **({} if said else {"verify_name": None})})
        if said:
            checked = pair.edge.run("--check")
            expect(checked.returncode != 0 and said in checked.stderr, checked.stderr)
            continue
        pair.edge.start()
        pair.core.start()
        eventually(lambda: pair.edge.refused("common_name_only") + pair.core.refused(
            "common_name_only") >= 1, lambda: f"{pair.edge.text()}{pair.core.text()}")
        expect(not pair.edge.is_up(), "it is up anyway")


@case
def what_is_no_tls_is_refused(scratch):
    pair = Pair(scratch).start()
    for text, reason in ((b"GET / HTTP/1.1\r\nHost: edge\r\n\r\n", "not_tls"),
                         (os.urandom(3000).replace(b"\x16", b"\x17"), "not_tls")):
        before = pair.edge.refused(reason)
        with netns.connect("tp-core", EDGE, ZONE_PORT, 5) as link:
            link.sendall(text)
            eventually(lambda: pair.edge.refused(reason) == before + 1, f"{reason} is counted")
    # One byte now and then: a handshake has its time, whatever it does with it.
    before = pair.edge.refused("too_slow")
    with netns.connect("tp-core", EDGE, ZONE_PORT, 5) as link:
        hello = b"\x16\x03\x01\x00\xf0" + bytes(240)
        sent = iter(hello)

        def ended():
            try:
                link.sendall(bytes([next(sent)]))
            except OSError:
                return True
            return pair.edge.refused("too_slow") == before + 1
        eventually(ended, "a slow handshake is ended", 8, 0.1)
    eventually(lambda: pair.edge.refused("too_slow") == before + 1, "and counted")
    # More than may wait at a time.
    links = []
    for _ in range(18):
        with contextlib.suppress(ConnectionResetError):  # refused before connect() was back
            links.append(netns.connect("tp-core", EDGE, ZONE_PORT, 5))
    eventually(lambda: pair.edge.refused("too_many_from_source")
               + pair.edge.refused("too_often") >= 2, "a crowd is not let in")
    for link in links:
        link.close()
    expect(pair.edge.is_up(), "the zone itself was touched")


class Impostor:
    """A core made of openssl(1) and hmac: it can do everything rightly, and then something else."""

    def __init__(self, pair, purpose=1):
        files = pair.pki / "zone-dmz"
        self._process = _tls(pair, "peer-core1", "-keymatexport", "EXPORTER-Turnpike-zone-1",
                             "-keymatexportlen", "32")
        self._got = b""
        binding = bytes.fromhex(
            self._until(rb"Keying material: ([0-9A-F]{64})\n").group(1).decode())
        self._until(rb"read R BLOCK\n|---\n\Z")
        text = lambda value: bytes([len(value)]) + value
        body = (struct.pack(">HBBQ", 1, purpose, 2, 99) + os.urandom(32) + text(b"dmz")
                + text(b"impostor") + text(b"zone"))
        hello = b"\x01" + struct.pack(">H", len(body)) + body
        self._got = b""
        self.send(hello)
        theirs = self._until(rb"(?s)(\x01\x00.\x00\x01" + bytes([purpose])
                             + rb"\x01.{8}.{32}\x03dmz\x06edge-1\x04zone)")
        password = (files / "password").read_bytes().strip()
        tag = hmac.new(password, b"turnpike zone 1 dialler" + binding + hello + theirs.group(1),
                       hashlib.sha256).digest()
        self.send(b"\x02\x00\x20" + tag)
        self._until(rb"(?s)\x02\x00\x20.{32}")

    def _until(self, pattern):
        deadline = time.monotonic() + 10
        while not (found := re.search(pattern, self._got)):
            ready, _, _ = select.select([self._process.stdout], [], [], 0.5)
            expect(time.monotonic() < deadline, f"{pattern} did not come: {self._got[-300:]}")
            if ready:
                self._got += os.read(self._process.stdout.fileno(), 65536)
        return found

    def send(self, data):
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def close(self):
        self._process.kill()
        self._process.communicate()


@case
def broken_http2_ends_the_connection_only(scratch):
    pair = Pair(scratch)
    pair.edge.start()
    for data in (b"GET / HTTP/1.1\r\n\r\n",
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 40):
        before = pair.edge.metric("turnpike_zone_ended_total", reason="bad_http2")
        impostor = Impostor(pair)
        eventually(lambda: pair.edge.peer()["connections"][0]["state"] == "up",
                   "whoever knows certificate and password is let in")
        impostor.send(data)
        eventually(lambda: pair.edge.metric("turnpike_zone_ended_total", reason="bad_http2")
                   == before + 1, lambda: f"it is ended: {pair.edge.text()}")
        impostor.close()
    expect("(bad_http2)" in pair.edge.text(), pair.edge.text())
    pair.core.start()
    pair.wait_up()


# What gives way to others (RFC 8622).
MARKED = """
table inet marked {
  chain out {
    type filter hook output priority filter;
    ip dscp 1 meta l4proto tcp counter
  }
}
"""


@case
def the_path_is_measured_over_a_connection_of_its_own(scratch):
    pair = Pair(scratch).start()
    for place in ("tp-edge", "tp-core"):
        subprocess.run(["ip", "netns", "exec", place, "nft", "-f", "-"], check=True, text=True,
                       input=MARKED)
    done = pair.core.control("zone", "measure", "edge1", "--seconds", "2", "--mbit", "16")
    for way in ("to the edge", "from the edge"):
        found = re.search(rf"{way} +([0-9.]+) Mbit/s +[0-9.]+ ms +[0-9.]+ ms +(\d+)", done)
        expect(found and 12 < float(found.group(1)) < 20 and int(found.group(2)) > 5, done)
    up = pair.edge.peer()["connections"]
    expect(pair.edge.peer()["bulk"] is None, "the bulk connection stays")
    expect(all(one["connected"] == 1 for one in up), f"signalling was touched: {up}")
    expect(all(one["bytes_received"] < 200_000 for one in up), f"it went by signalling: {up}")
    expect("event=zone_bulk_up" in pair.edge.log_text(), "the edge's log does not tell of it")
    for place in ("tp-edge", "tp-core"):
        counted = subprocess.run(["ip", "netns", "exec", place, "nft", "list", "table", "inet",
                                  "marked"], check=True, text=True, capture_output=True).stdout
        expect(int(re.search(r"packets (\d+)", counted)[1]) > 100, f"{place}: {counted}")
    try:
        expect(False, pair.edge.control("zone", "measure"))
    except PairError as refused:
        expect("the core measures" in str(refused), f"{refused}")
    expect(pair.dropped_from_edge() == 0, "the edge has sent what is no reply")


@case
def a_bulk_connection_is_refused_what_it_must_not_have(scratch):
    pair = Pair(scratch).start()
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
    sip = b"\x02\x07CONNECT\x01\x03sip"
    for data, name, labels in (
            (preface + bytes([0, 0, len(sip), 1, 4, 0, 0, 0, 1]) + sip,
             "turnpike_zone_streams_refused_total", {"reason": "unknown_target"}),
            (preface + b"\xff" * 40, "turnpike_zone_ended_total", {"reason": "bad_http2"})):
        before = pair.edge.metric(name, **labels)
        impostor = Impostor(pair, purpose=3)
        eventually(lambda: pair.edge.peer()["bulk"], "who knows certificate and password is in")
        impostor.send(data)
        eventually(lambda: pair.edge.metric(name, **labels) == before + 1,
                   lambda: f"it is refused: {pair.edge.text()}")
        impostor.close()
        eventually(lambda: not pair.edge.peer()["bulk"], "it is gone")
        # Not at once again.
        before = pair.edge.metric("turnpike_zone_refused_total", reason="too_often")
        impostor = Impostor(pair, purpose=3)
        eventually(lambda: pair.edge.metric("turnpike_zone_refused_total", reason="too_often")
                   == before + 1, lambda: f"it is turned away: {pair.edge.text()}")
        expect(not pair.edge.peer()["bulk"], "it is in")
        impostor.close()
        time.sleep(5.5)
    up = pair.edge.peer()["connections"]
    expect(all(one["state"] == "up" and one["connected"] == 1 for one in up), f"{up}")


@case
def a_wrong_password_is_seen_at_both_ends(scratch):
    pair = Pair(scratch)
    pair.core.password = scratch.folder / "password"
    pair.core.password.write_text("not the right password\n")
    pair.core.password.chmod(0o600)
    pair.core.configure()
    pair.edge.start()
    pair.core.start()
    eventually(lambda: pair.edge.refused("wrong_password") >= 1, "the edge counts it")
    eventually(lambda: pair.core.refused("wrong_password") >= 1, "the core counts it")
    for node in (pair.edge, pair.core):
        expect("the user or the password of the zone is another one" in node.text(), node.text())
        expect("not the right password" not in node.log_text() + node.text(), "it was shown")
    expect(not pair.edge.is_up(), "it is up anyway")
    # Put right and read anew: nothing needs a restart.
    pair.core.password.write_bytes((pair.pki / "zone-dmz" / "password").read_bytes())
    os.kill(pair.core.process.pid, signal.SIGHUP)
    pair.wait_up(90)


@case
def certificates_are_renewed_while_connections_are_up(scratch):
    pair = Pair(scratch).start()
    client = Client(scratch, "tp-core")
    expect(client.echo("before") == "same", "no echo")
    old = pair.core.peer()["certificate"]["sha256"]
    Certificates(pair.pki / "zone-dmz").make(
        "node", "DNS:edge.example.com,DNS:cluster.example.com", common_name="renewed")
    os.kill(pair.edge.process.pid, signal.SIGHUP)
    eventually(lambda: "event=zone_files_loaded" in pair.edge.log_text(), "the edge reads it")
    expect("CN=renewed" in pair.edge.text(), pair.edge.text())
    expect(client.echo("still") == "same", "the stream was cut")
    expect(pair.core.peer()["certificate"]["sha256"] == old, "a live connection was touched")
    pair.core.stop()
    pair.core.start()
    pair.wait_up()
    expect(pair.core.peer()["certificate"]["subject"] == "CN=renewed", pair.core.text())
    # A file that is half written changes nothing, and is told.
    (pair.pki / "zone-dmz" / "node.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    os.kill(pair.edge.process.pid, signal.SIGHUP)
    eventually(lambda: "files: " in pair.edge.text(), "the edge tells what is wrong")
    expect(pair.edge.is_up(), "the zone was touched")
    expect(pair.edge.metric("turnpike_zone_files_unusable") == 1, "the metric does not say so")


@case
def check_says_what_is_wrong_with_the_files(scratch):
    pair = Pair(scratch)
    good = pair.edge.run("--check")
    expect(good.returncode == 0 and "node.pem" not in good.stderr, good.stderr)
    Certificates(pair.pki / "zone-dmz").make("node", "DNS:other.example.com", "serverAuth",
                                             expired=True)
    bad = pair.edge.run("--check").stderr
    for wanted in ("expired on", "lacks the purpose clientAuth",
                   "is not valid for edge.example.com"):
        expect(wanted in bad, f"{wanted!r} is not in: {bad}")
    expect(str(LISTEN_PORT) not in bad, bad)


run()
