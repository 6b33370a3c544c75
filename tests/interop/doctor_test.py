"""turnpikectl doctor on both nodes of a pair: it names what is broken, on the side where it is, and
nothing else; with the daemon up, down and unable to start.
"""

import json
import os
import re
import signal
import socket
import subprocess

from lib.case import case, eventually, expect, run
from lib.certificates import Certificates
from lib.pair import CORE, EDGE, LISTEN_PORT, TARGET_PORT, ZONE_PORT, Pair
from lib.turnpiked import executable
import netns
from pair_node import Daemon


class Answer:
    """What doctor found: its failures by check, and its text."""

    def __init__(self, node, account="root"):
        command = ["ip", "netns", "exec", node.place, executable("turnpikectl")]
        rest = ["doctor", "--config", node.config_path, "--account", account]
        told = subprocess.run([*command, "--json", *rest], capture_output=True, text=True,
                              check=False)
        expect(told.returncode in (0, 1), f"doctor ended with {told.returncode}: {told.stderr}")
        answer = json.loads(told.stdout)
        self.findings = answer["findings"]
        self.failed = {one["check"]: one for one in self.findings if one["verdict"] == "failed"}
        expect(answer["failed"] == len([one for one in self.findings
                                        if one["verdict"] == "failed"]), "the count is wrong")
        self.unclear = {one["check"]: one for one in self.findings if one["verdict"] == "unclear"}
        expect(told.returncode == (1 if self.failed or self.unclear else 0),
               "the exit status says otherwise")

    def ok(self, check):
        return any(one["check"] == check and one["verdict"] == "ok" for one in self.findings)

    def expect_only(self, *checks):
        """Exactly these checks have failed."""
        expect(set(self.failed) == set(checks),
               f"failed: {sorted(self.failed)}, wanted {sorted(checks)}; "
               f"{json.dumps(self.failed, indent=1)}")
        return self

    def expect_left_alone(self, *checks):
        """Nothing has failed, and exactly these checks were not made."""
        self.expect_only()
        expect(set(self.unclear) == set(checks), f"unclear: {self.unclear}, wanted {checks}")
        expect(all(one["mend"] for one in self.unclear.values()), f"no way out: {self.unclear}")
        return self

    def says(self, check, saw, mend):
        one = self.failed[check]
        expect(saw in one["saw"], f"{saw!r} is not in: {one}")
        expect(mend in one["mend"], f"{mend!r} is not in: {one}")
        return self


EDGE_NAMES = "DNS:edge.example.com,DNS:cluster.example.com"
CORE_NAMES = "DNS:core.example.com,DNS:cluster.example.com"
EDGE_SAYS, CORE_SAYS = "zone dmz, core core1", "zone dmz, edge edge1"


@case
def says_ok_when_all_is_well(scratch):
    pair = Pair(scratch).start()
    pair.wait_flows()
    for node, peer in ((pair.edge, "core1"), (pair.core, "edge1")):
        answer = Answer(node).expect_only()
        for check in ("configuration", "daemon", "files", "NG", f"zone dmz, peer {peer}",
                      f"zone dmz, peer {peer}: media", "zone dmz: own certificate",
                      "zone dmz: trust file",
                      f"zone.dmz.peer.{peer}.sip_listen", f"zone.dmz.peer.{peer}.sip_target"):
            expect(answer.ok(check), f"{check} is not ok: {answer.findings}")
    edge = Answer(pair.edge)
    expect(edge.ok("zone.dmz.listen") and edge.ok("flow ports"), f"{edge.findings}")
    expect(pair.edge.peer()["connections"][0]["connected"] == 1, "doctor has touched the zone")
    text = subprocess.run(
        ["ip", "netns", "exec", "tp-core", executable("turnpikectl"), "doctor", "--config",
         pair.core.config_path], capture_output=True, text=True, check=False)
    expect("\n0 failed, " in text.stdout and text.returncode == 0, text.stdout)
    expect("ok       zone dmz, peer edge1: up, 192.0.2.10:7001, TLSv1.3" in text.stdout,
           text.stdout)


@case
def a_stopped_daemon_is_named_and_the_rest_is_tried(scratch):
    pair = Pair(scratch)
    pair.edge.start()
    core = Answer(pair.core).expect_only("daemon")
    core.says("daemon", "turnpiked is not running", "systemctl start turnpiked")
    for step in ("connect", "TLS", "certificate", "password", "HTTP/2"):
        expect(core.ok(f"{CORE_SAYS}: {step}"), f"{step} was not tried: {core.findings}")
    Answer(pair.edge).expect_only(EDGE_SAYS).says(
        EDGE_SAYS, "is not connected", "run doctor there")
    pair.core.start()
    pair.wait_up()
    pair.edge.kill()
    eventually(lambda: not pair.core.is_up(), "the core notices")
    core = Answer(pair.core).expect_only(f"{CORE_SAYS}: connect")
    core.says(f"{CORE_SAYS}: connect", f"{EDGE}:{ZONE_PORT} refuses", "start turnpiked on the edge")
    edge = Answer(pair.edge).expect_only("daemon")
    expect(edge.ok("zone.dmz.listen"), "the edge's port is free")


@case
def a_daemon_that_cannot_be_asked_is_left_alone(scratch):
    pair = Pair(scratch).start()
    text = pair.core.config_path.read_text()
    pair.core.config_path.write_text(re.sub(r'(?m)^unix = ".*api.sock"$', 'unix = ""', text))
    answer = Answer(pair.core).expect_left_alone(CORE_SAYS)
    expect("more was not tried" in answer.unclear[CORE_SAYS]["saw"], f"{answer.unclear}")
    _expect_never_replaced(pair)


def _expect_never_replaced(pair):
    expect(pair.edge.is_up() and pair.core.is_up(), "the zone is not up")
    expect(all(one["connected"] == 1 for one in pair.edge.peer()["connections"]), "it was replaced")


@case
def a_daemon_with_another_file_is_left_alone(scratch):
    pair = Pair(scratch).start()
    text = pair.core.config_path.read_text()
    # Each of these files shares one thing less with the one that turnpiked runs with.
    sip_listen = f"127.0.0.1:{LISTEN_PORT}"
    for change, sign in (
            (("api.sock", "other-api.sock"), "ng.sock.lock"),
            (("ng.sock", "other-ng.sock"), f"waits at {sip_listen}"),
            ((sip_listen, "127.0.0.1:7199"), f"is connected to {EDGE}:{ZONE_PORT}")):
        text = text.replace(*change)
        pair.core.config_path.write_text(text)
        answer = Answer(pair.core).expect_left_alone("daemon", CORE_SAYS)
        expect(sign in answer.unclear["daemon"]["saw"], f"{sign}: {answer.unclear}")
        expect(pair.edge.metric("turnpike_zone_refused_total") == 0, "the edge was dialled")
        expect("--config" in answer.unclear["daemon"]["mend"], f"{answer.unclear}")
        _expect_never_replaced(pair)
    # Not even a connection: the daemon waits for its next attempt.
    pair.edge.kill()
    eventually(lambda: not pair.core.is_up(), "the core notices")
    answer = Answer(pair.core)
    expect("daemon" in answer.unclear and CORE_SAYS in answer.unclear, f"{answer.findings}")
    # A peer that only the file knows is another name for one that is connected.
    pair.edge.start()
    pair.wait_up()
    pair.core.configure()
    pair.core.config_path.write_text(
        pair.core.config_path.read_text().replace("peer.edge1", "peer.edge2"))
    before = pair.edge.peer()["connections"][0]["connected"]
    answer = Answer(pair.core).expect_left_alone("zone dmz, edge edge2")
    expect(pair.edge.peer()["connections"][0]["connected"] == before, "it was replaced")


@case
def a_closed_firewall_is_told_from_a_dead_daemon(scratch):
    pair = Pair(scratch)
    rules = subprocess.run(["nft", "-a", "list", "chain", "inet", "firewall", "forward"],
                           capture_output=True, text=True, check=True).stdout
    handle = next(line for line in rules.splitlines() if "dport 7001" in line).split()[-1]
    subprocess.run(["nft", "delete", "rule", "inet", "firewall", "forward", "handle", handle],
                   check=True)
    pair.edge.start()
    check = f"{CORE_SAYS}: connect"
    Answer(pair.core).expect_only("daemon", check).says(
        check, f"nothing answers at {EDGE}:{ZONE_PORT}", "core to edge, TCP 7001")
    pair.core.start()
    Answer(pair.core).expect_only(check)
    Answer(pair.edge).expect_only(EDGE_SAYS).says(
        EDGE_SAYS, "has not connected", "the firewall must let it connect")
    subprocess.run(["nft", "insert rule inet firewall forward tcp dport 7001 reject with "
                    "icmp type admin-prohibited"], check=True)
    Answer(pair.core).expect_only(check).says(check, "there is no way", "TCP 7001")


@case
def udp_that_the_firewall_stops_is_named_on_both_sides(scratch):
    pair = Pair(scratch)
    pair.close_flows()
    pair.start()
    for node, peer in ((pair.edge, "core1"), (pair.core, "edge1")):
        check = f"zone dmz, peer {peer}: media"
        eventually(lambda: check in Answer(node).failed, f"{peer}: it had its time", 20)
        Answer(node).expect_only(check).says(check, "0 of 1 flows are bound",
                                             "UDP ports 36000-36011")
    pair.open_flows()
    pair.wait_flows()
    Answer(pair.core).expect_only()


@case
def a_wrong_password_is_named_on_both_sides(scratch):
    pair = Pair(scratch)
    pair.core.password = scratch.folder / "password"
    pair.core.password.write_text("not the right password\n")
    pair.core.password.chmod(0o600)
    pair.core.configure()
    pair.edge.start()
    check = f"{CORE_SAYS}: password"
    # With the daemon down the examination tries it itself, …
    core = Answer(pair.core).expect_only("daemon", check)
    core.says(check, "the password of the zone is another one", "password_file")
    Answer(pair.edge).expect_only(EDGE_SAYS).says(
        EDGE_SAYS, "the password of the zone is another one", "password_file")
    # … and with it running, while the edge does not hear this address, it asks the daemon.
    pair.core.start()
    eventually(lambda: pair.core.refused("wrong_password") >= 1, "the core is refused", 20)
    core = Answer(pair.core)
    expect(len(core.failed) == 1, f"{core.failed}")
    (one,) = core.failed.values()
    expect("the password of the zone is another one" in one["saw"], f"{one}")
    for found in core.findings:
        expect("not the right password" not in json.dumps(found), "it was shown")


@case
def a_bad_certificate_is_laid_at_the_right_door(scratch):
    pair = Pair(scratch)
    certificates = Certificates(pair.pki / "zone-dmz")
    own, theirs = "zone dmz: own certificate", f"{CORE_SAYS}: certificate"
    for name, names, side in (("node", EDGE_NAMES, "edge"), ("peer-core1", CORE_NAMES, "core")):
        node = pair.edge if side == "edge" else pair.core
        for change, saw, seen_there in (
                ({"expired": True}, "expired on", "has expired"),
                ({"names": "DNS:other.example.com"}, "is not valid for", "for another name"),
                ({"usage": "serverAuth"}, "lacks the purpose clientAuth",
                 "lacks the purpose clientAuth")):
            certificates.make(name, **{"names": names, **change})
            pair.edge.start()
            core = Answer(pair.core)
            if side == "edge":
                core.expect_only("daemon", theirs).says(theirs, seen_there, "edge")
            else:
                core.expect_only("daemon", own, f"{CORE_SAYS}: TLS")
                core.says(f"{CORE_SAYS}: TLS", "the other end refused this node", "")
                Answer(pair.edge).expect_only(EDGE_SAYS).says(EDGE_SAYS, seen_there, "core")
            alone = Answer(node)
            expect(own in alone.failed, f"{side}: {alone.failed}")
            alone.says(own, saw, "")
            pair.edge.stop()
        certificates.make(name, names)
    pair.start()
    Answer(pair.core).expect_only()


@case
def a_taken_port_is_named_with_its_holder(scratch):
    pair = Pair(scratch)
    server = f"import socket, time; s = socket.create_server(('{EDGE}', {ZONE_PORT})); " \
        "print('up', flush=True)\nwhile True:\n l, _ = s.accept(); l.send(b'220 hello\\r\\n')"
    stranger = scratch.spawn("ip", "netns", "exec", "tp-edge", "python3", "-c", server,
                             stdout=subprocess.PIPE, text=True)
    expect(stranger.stdout.readline() == "up\n", "the stranger listens")
    # The daemon does not even start; doctor says why.
    failed = subprocess.run(
        ["ip", "netns", "exec", "tp-edge", executable(), "--config", pair.edge.config_path],
        capture_output=True, text=True, check=False)
    expect(failed.returncode == 1, "turnpiked has started on a port that is taken")
    edge = Answer(pair.edge).expect_only("daemon", "zone.dmz.listen")
    edge.says("zone.dmz.listen", f"is taken by python3 (process {stranger.pid})", "another port")
    core = Answer(pair.core).expect_only("daemon", f"{CORE_SAYS}: TLS")
    core.says(f"{CORE_SAYS}: TLS", "does not speak TLS", "it is no turnpiked")
    os.killpg(stranger.pid, signal.SIGKILL)
    stranger.wait()
    pair.start()
    Answer(pair.edge).expect_only()


@case
def the_host_is_looked_at_too(scratch):
    pair = Pair(scratch).start()
    secret = pair.pki / "zone-dmz" / "password"
    Answer(pair.core, "nobody").says(
        "files", f"{secret} (zone.dmz.password_file): Permission denied", "nobody")
    # Nobody behind the zone.
    text = pair.core.config_path.read_text()
    pair.core.config_path.write_text(text.replace(f":{TARGET_PORT}", ":7299"))
    check = "zone.dmz.peer.edge1.sip_target"
    core = Answer(pair.core).expect_only(check)
    core.says(check, "nobody waits at 127.0.0.1:7299", "start the SIP server")
    pair.core.config_path.write_text(text)
    # A call's port that somebody else has is worth a warning.
    with netns.inside("tp-core"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind((CORE, 59998))
        found = [one for one in Answer(pair.core).expect_only().findings
                 if one["check"] == "media ports" and one["verdict"] == "warning"]
        expect(any(f"{CORE}:59998 by python3" in one["saw"] for one in found), f"{found}")
    pair.core.stop()
    # An address of the configuration that the host has not.
    with netns.inside("tp-core"):
        subprocess.run(["ip", "address", "del", f"{CORE}/24", "dev", "tp-c-p"], check=True)
    core = Answer(pair.core).expect_only("daemon", "addresses", f"{CORE_SAYS}: connect")
    core.says("addresses", f"none of {CORE}", "ip address")
    core.says(f"{CORE_SAYS}: connect", "there is no way", "route")
    # A mistake in the file ends the examination.
    pair.core.config_path.write_text(text.replace("[media]", "[media]\nport_minn = 1"))
    wrong = Answer(pair.core).expect_only("configuration")
    wrong.says("configuration", 'unknown key "port_minn" in [media]', "port_min")


@case
def two_cores_with_the_same_files_are_told_of(scratch):
    pair = Pair(scratch).start()
    twin = Daemon("twin", "tp-core", scratch.folder / "twin", pair.core.programs)
    text = pair.core.config_path.read_text().replace(str(pair.core.folder), str(twin.folder))
    twin.config_path.write_text(text.replace(f":{LISTEN_PORT}", f":{LISTEN_PORT + 1}"))
    twin.start()
    for node in (pair.edge, pair.core, twin):
        eventually(lambda: "take the connection from each other" in node.control("zone"),
                   lambda: f"the {node.name} says so: {node.control('zone')}", 15)
    def told(node, mend):
        failed = list(Answer(node).failed.values())
        return any("each other" in one["saw"] and mend in one["mend"] for one in failed)
    for node, mend in ((pair.edge, "stop one of the two"), (pair.core, "a name of its own")):
        eventually(lambda: told(node, mend), lambda: f"doctor: {Answer(node).findings}", 15)
    twin.stop()
    pair.wait_up()
    expect(pair.edge.metric("turnpike_zone_ended_total", reason="taken_in_turns") >= 1, "counted")


run()
