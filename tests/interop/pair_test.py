"""Calls of baresip phones through a traversal pair: a client behind a NAT, an edge, a firewall that
lets nothing in, a core, a phone inside. What crosses each hop is captured and searched."""
# time limit: 300 s

import hashlib
import re
import signal
import socket
import ssl
import subprocess
import time

from lib import turnpiked
from lib.capture import Capture
from lib.case import case, eventually, expect, note, run
from lib.certificates import Certificates
from lib.wire_proof import WireProof
import netns
from traversal import (DOMAIN, EDGE_OUTSIDE, NUMBER, Pair, Topology, call_uri, end, establish, hear,
                       judge_tones, talk)

ALICE_HZ, BOB_HZ, DESK_HZ = 1000, 700, 440


class Site:
    """Everything up. `pair` is the traversal.Pair; the firewall's count is judged at the end."""

    def __init__(self, scratch, **sections):
        self.scratch = scratch
        self.net = scratch.enter(Topology("tp-"))
        # What is captured between the nodes is datagrams, not what a device would cut into them.
        for place in ("edge", "firewall"):
            subprocess.run(["ip", "-n", self.net.name(place), "link", "set",
                            self.net.link_of(place, "ef"), "gso_max_segs", "1"], check=True)
        names = ("turnpiked", "turnpikectl")
        self.pair = scratch.enter(Pair(
            scratch.folder, self.net, {name: turnpiked.executable(name) for name in names},
            **sections))
        scratch.on_exit(self._print_logs)

    def _print_logs(self):
        for node in self.pair.nodes:
            for program in ("kamailio", "turnpiked"):
                print("".join(f"     {node.role} {program} | {line}\n"
                              for line in node.log(program).splitlines()[-12:]), end="")

    def desk(self, **options):
        phone = self.pair.phone_inside(tone_hz=DESK_HZ, **options)
        eventually(self.pair.core_sees_phone, "the core sees the phone inside")
        return phone

    def alice(self, **options):
        return self.pair.phone_outside("alice", tone_hz=ALICE_HZ, **options)

    def bob(self, **options):
        return self.pair.phone_outside("bob", place="nat", tone_hz=BOB_HZ, **options)

    def capture(self, place, word):
        return Capture(self.net.link_of(place, word), self.net.name(place))

    def expect_all_given_back(self):
        for node in self.pair.nodes:
            eventually(lambda: not node.sessions(), f"the {node.role} gives its ports back")

    def expect_nothing_begun_by_the_edge(self):
        counted = self.net.firewall_counters()
        expect(counted["to_edge"] > 0 and counted["from_edge_new"] == 0, f"{counted}")
        # The judge itself: an address of the edge that the firewall's rules do not name.
        edge = self.net.name("edge")
        subprocess.run(["ip", "-n", edge, "addr", "add", "192.0.2.77/24", "dev",
                        self.net.link_of("edge", "ef")], check=True)
        with netns.inside(edge), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.bind(("192.0.2.77", 0))
            link.sendto(b"?", ("10.20.0.10", 5060))
        eventually(lambda: self.net.firewall_counters()["from_edge_new"] == 1, "it is counted")


@case
def tones_cross_in_every_direction_and_nobody_reads_them(scratch):
    site = Site(scratch)
    alice, bob, desk = site.alice(), site.bob(), site.desk()
    with site.capture("edge", "ne") as outer, site.capture("edge", "ef") as middle, \
            site.capture("inside", "ci") as inner:
        for caller, called, uri in ((alice, desk, NUMBER), (desk, alice, "alice"),
                                    (alice, bob, "bob"), (bob, desk, NUMBER)):
            heard = talk(caller, called, call_uri(uri))
            note(f"{caller.name} calls {called.name}: {heard}")
            for phone, suite in zip((caller, called), heard.suites):
                expect(bool(suite) == (phone is not desk), f"{phone.name} has {suite or 'clear'}")
            site.expect_all_given_back()
    found = str(_proof(inner).findings())
    expect("clear SIP" in found and "RTP stream" in found, f"clear inside, but found: {found}")
    for capture, hop in ((outer, "client and edge"), (middle, "edge and core")):
        proof = _proof(capture)
        expect(not proof.findings(), f"between {hop}: {proof.findings()}")
        expect(proof.streams >= 4, f"only {proof.streams} streams between {hop}")
    site.expect_nothing_begun_by_the_edge()


def _proof(capture):
    proof = WireProof()
    for frame in capture.frames():
        proof.see(frame)
    return proof


@case
def hold_and_resume(scratch):
    site = Site(scratch)
    alice, desk = site.alice(), site.desk()
    establish(alice, desk, call_uri(NUMBER))
    hear(alice, desk)
    for phone in (alice, desk):
        phone.hold()
        eventually(lambda: _one_is_silent(alice, desk), "media stops on hold")
        phone.resume()
        hear(alice, desk)
    end(alice, desk)
    judge_tones(alice, desk)
    site.expect_all_given_back()
    site.expect_nothing_begun_by_the_edge()


def _one_is_silent(*phones):
    before = [phone.rtp_statistics().get("received", 0) for phone in phones]
    until = time.monotonic() + 0.33
    eventually(lambda: time.monotonic() > until, "time passes")
    return any(phone.rtp_statistics().get("received", 0) == count
               for phone, count in zip(phones, before))


@case
def either_side_hangs_up(scratch):
    site = Site(scratch)
    alice, bob, desk = site.alice(), site.bob(), site.desk()
    for caller, called, uri in ((alice, desk, NUMBER), (alice, bob, "bob")):
        for first, second in ((caller, called), (called, caller)):
            establish(caller, called, call_uri(uri))
            hear(caller, called, packets=10)
            end(first, second)
            site.expect_all_given_back()


@case
def softphone_with_dtls(scratch):
    site = Site(scratch)
    desk = site.desk()
    dtls = {"media_encryption": "dtls_srtp", "rtcp_mux": True}
    alice, bob = site.alice(**dtls), site.bob(**dtls)
    for caller, called, uri in ((alice, desk, NUMBER), (bob, desk, NUMBER), (desk, bob, "bob"),
                                (desk, alice, "alice")):
        talk(caller, called, call_uri(uri))
    site.expect_all_given_back()
    # The ClientHello of who is called comes before the answer; were it lost, the next one comes a
    # second later, fifty packets of the other end.
    ended = site.pair.core.log().count("event=call_end")
    expect(ended >= 4, f"the core has told of the end of {ended} calls")
    unheard = [int(count) for count in re.findall(r"not_keyed:(\d+)", site.pair.core.log())]
    expect(max(unheard, default=0) < 25, f"calls began in silence: {unheard}")
    site.expect_nothing_begun_by_the_edge()


@case
def a_zone_that_requires_dtls_takes_softphones_with_it_only(scratch):
    zone = {"zone.dmz": {"require_dtls": True}}
    site = Site(scratch, edge=zone, core=zone)
    desk = site.desk()
    alice = site.alice()
    reason, _ = _refusal(alice, NUMBER)
    expect("488" in reason, reason)
    bob = site.bob(media_encryption="dtls_srtp", rtcp_mux=True)
    for caller, called, uri in ((bob, desk, NUMBER), (desk, bob, "bob")):
        talk(caller, called, call_uri(uri))
    reason, _ = _refusal(desk, "alice")
    expect("488" in reason, reason)
    site.expect_all_given_back()


def _shown(node, address, port):
    """SHA-256 of the certificate that is shown to who connects there now."""
    words = ("openssl", "s_client", "-connect", f"{address}:{port}", "-servername", DOMAIN)
    done = subprocess.run(node.command(*words), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=10, check=False)
    pem = re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", done.stdout, re.S)
    expect(pem, f"no certificate at {address}:{port}: {done.stderr}")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[0])).hexdigest()


def _reload(*nodes):
    """As `systemctl reload turnpiked turnpike-sip` does."""
    for node in nodes:
        before = node.log().count("event=zone_files_loaded")
        node.process.send_signal(signal.SIGHUP)
        eventually(lambda: node.log().count("event=zone_files_loaded") > before,
                   lambda: f"{node.name} reads its files: {node.log()[-600:]}")
        node.tool("--write-sidecar")
        node.sip("tls.reload")


def _renew_all(pair):
    """Zone, SIP and API get other authorities: both are trusted, then new ones shown, then the
    old authorities are gone."""
    zone, sip = pair.pki / "zone-dmz", pair.pki
    signed = {zone: (("node", "edge-1"), ("peer-core-1", "core-1")), sip: (("server", ""),)}
    old = {}
    for folder in signed:
        old[folder] = (folder / "ca.pem").read_text()
        Certificates(folder).authority("next")
        (folder / "ca.pem").write_text(old[folder] + (folder / "next.pem").read_text())
    _reload(*pair.nodes)
    for folder, names in signed.items():
        for name, host in names:
            subjects = f"DNS:{host}.{DOMAIN},DNS:cluster.{DOMAIN}" if host else f"DNS:{DOMAIN}"
            Certificates(folder).make(name, subjects, authority="next", common_name="renewed")
    _reload(*pair.nodes)
    for folder in signed:
        (folder / "ca.pem").write_text((folder / "next.pem").read_text())
    _reload(*pair.nodes)


@case
def certificates_and_authorities_are_renewed_and_no_packet_is_lost(scratch):
    (scratch.folder / "pki").mkdir()
    tokens = scratch.folder / "pki" / "tokens"
    tokens.write_text("watcher read 0123456789abcdef0123456789\n")
    tokens.chmod(0o640)
    site = Site(scratch, edge={"api": {
        "listen": "127.0.0.1:8444", "tokens_file": tokens,
        "certificate_file": scratch.folder / "pki" / "server.pem",
        "private_key_file": scratch.folder / "pki" / "server.key"}})
    edge, core = site.pair.edge, site.pair.core
    alice, desk = site.alice(), site.desk()
    establish(alice, desk, call_uri(NUMBER))
    hear(alice, desk)
    doors = ((EDGE_OUTSIDE, 5061), ("127.0.0.1", 8444))
    before = [_shown(edge, *door) for door in doors]
    _renew_all(site.pair)
    after = [_shown(edge, *door) for door in doors]
    expect(not set(before) & set(after), f"SIP and API show what they had: {before} {after}")
    # What connects anew is judged by the new authority; the call does not notice.
    site.net.shut_zone()
    eventually(lambda: not edge.is_up() and not core.is_up(), "the zone is down", 15)
    site.net.open_zone()
    eventually(site.pair.is_up, lambda: f"the zone is up again: {edge.control('zone')}", 30)
    for node in (edge, core):
        certificate = node.zone()["peers"][0]["certificate"]
        expect(certificate["subject"] == "CN=renewed", f"{node.name} sees {certificate}")
    hear(alice, desk)
    for phone in (alice, desk):
        counted = phone.rtp_statistics()
        note(f"{phone.name}: {counted}")
        expect(counted["received"] > 200 and counted["lost"] == 0, f"{phone.name}: {counted}")
    end(alice, desk)
    site.expect_nothing_begun_by_the_edge()


def _refusal(phone, uri):
    """Dials; why it was refused, and after how many seconds."""
    phone.forget_events()
    began = time.monotonic()
    phone.dial(call_uri(uri))
    reason = str(phone.wait_closed(10).get("param", ""))
    return reason, time.monotonic() - began


@case
def media_in_clear_is_refused(scratch):
    site = Site(scratch)
    site.desk()
    reason, _ = _refusal(site.alice(media_encryption=""), NUMBER)
    expect("488" in reason, reason)
    site.expect_all_given_back()


def _seen_of_calls(phone):
    """How many events of calls it has told: a phone that answers by itself tells of no ringing."""
    phone.poll()
    return len([event for event in phone.events if event["type"].startswith("CALL_")])


@case
def without_the_zone_calls_fail_loudly(scratch):
    site = Site(scratch)
    alice, desk = site.alice(), site.desk()
    establish(alice, desk, call_uri(NUMBER))
    end(alice, desk)
    rung = _seen_of_calls(desk)
    expect(rung > 0, "the phone inside tells nothing of a call that it had")
    site.pair.core.stop()
    for uri in (NUMBER, "bob"):
        reason, seconds = _refusal(alice, uri)
        note(f"{uri}: {reason} after {seconds:.2f} s")
        expect("503" in reason and seconds < 5, f"{uri}: {reason} after {seconds:.2f} s")
    expect("No Core Answers" in site.pair.edge.log("kamailio"), "the edge's log does not say it")
    expect(_seen_of_calls(desk) == rung, f"it rang: {desk.events[-3:]}")
    site.expect_nothing_begun_by_the_edge()


@case
def without_the_edge_the_inside_is_told(scratch):
    site = Site(scratch)
    site.alice()
    desk = site.desk()
    site.pair.edge.stop()
    reason, seconds = _refusal(desk, "alice")
    note(f"{reason} after {seconds:.2f} s")
    expect("480" in reason and seconds < 5, f"{reason} after {seconds:.2f} s")


run()
