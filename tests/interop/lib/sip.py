"""The whole edge for SIP tests: turnpiked, its generated Kamailio, and phones on both sides.

    edge = Edge(scratch)
    alice = edge.phone_outside("alice")   # TLS and SRTP, registers
    desk = edge.phone_inside()            # plain RTP, answers, number 1000

Hides: certificates, the sidecar's files, who listens where. Phones are deploy/lib/baresip.py.
"""

import hashlib
import subprocess

from . import case, turnpiked
from .network import INSIDE, OUTSIDE, topology
import baresip

DOMAIN = "edge.test"
NUMBER = "1000"
INSIDE_SIP_PORT = 5060
OUTSIDE_TONE_HZ, INSIDE_TONE_HZ = 1000, 440
PASSWORD = "correct-horse-7"


def _ha1(user):
    return hashlib.md5(f"{user}:{DOMAIN}:{PASSWORD}".encode()).hexdigest()


class Edge:
    """Up and serving after construction. `sections` overrides the configuration's keys."""

    def __init__(self, scratch, sections=None, users=("alice", "carol"), holder=None):
        scratch.enter(topology())
        self.scratch = scratch
        pki = scratch.folder / "pki"
        merged = {
            "sip": {
                "domains": [DOMAIN], "inside_networks": ["10.20.0.0/24"],
                "certificate_file": pki / "server.pem", "private_key_file": pki / "server.key",
                "peer_certificate_file": pki / "traversal.pem",
                "peer_private_key_file": pki / "traversal.key", "trust_file": pki / "ca.pem",
                "directory": scratch.folder / "sidecar", "worker_processes": 2,
                "runtime_directory": scratch.folder / "kamailio",
                "run_user": "root", "relay_user": "root",
            },
            "sip.servers.desk": {"uris": [f"sip:{INSIDE.v4}:{INSIDE_SIP_PORT}"]},
            "sip.route.desk": {"pattern": NUMBER, "servers": "desk"},
        }
        for user in users:
            merged[f"sip.user.{user}"] = {"ha1": _ha1(user)}
        merged.setdefault("interface.outside", {})["srtp"] = None  # what an edge has
        for section, keys in (sections or {}).items():
            merged.setdefault(section, {}).update(keys)
        (scratch.folder / "kamailio").mkdir()
        self.ca_file = pki / "ca.pem"
        self.daemon = turnpiked.Turnpiked(scratch, merged, holder=holder, start=False)
        self._run_daemon_tool("--make-dev-certs", pki)
        self._run_daemon_tool("--write-sidecar", scratch.folder / "sidecar")
        self.daemon.start()
        self.kamailio = None
        self.start_kamailio()

    def _run_daemon_tool(self, *words):
        done = subprocess.run(
            [turnpiked.executable(), "--config", self.daemon.config_path, *words],
            capture_output=True, text=True, check=False)
        case.expect(done.returncode == 0, f"turnpiked {words[0]}: {done.stderr}{done.stdout}")

    def start_kamailio(self):
        log_path = self.scratch.folder / "kamailio.log"
        with open(log_path, "ab") as log:
            self.kamailio = self.scratch.spawn(
                "/usr/sbin/kamailio", "-DD", "-E", "-M", 8,
                "-f", self.scratch.folder / "sidecar" / "kamailio.cfg", stdout=log, stderr=log)

        def listens():
            case.expect(self.kamailio.poll() is None,
                        f"kamailio ended: {log_path.read_text('utf-8', 'replace')[-1500:]}")
            return subprocess.run(["ss", "-Hlnt", "sport", "=", ":5061"], capture_output=True,
                                  check=True).stdout
        case.eventually(listens, "kamailio listens on 5061", timeout=20)

    def kill_kamailio(self):
        case.end_group(self.kamailio)

    def kamailio_log(self):
        return (self.scratch.folder / "kamailio.log").read_text("utf-8", "replace")

    # -- phones ----------------------------------------------------------------------------------

    def phone_outside(self, user="alice", password=PASSWORD, answer="auto",
                      media_encryption="srtp-mand", register=True, wait=True, extra="", **options):
        """Over TLS; registered when it comes back, unless told not to register or wait. `extra`:
        as of baresip.Account."""
        phone = baresip.Baresip(
            user, self.scratch.folder / f"outside-{user}",
            baresip.Account(user, DOMAIN, password, transport="tls",
                            outbound=f"{OUTSIDE.host_v4}:5061", answer=answer,
                            media_encryption=media_encryption,
                            registration_seconds=60 if register else 0, extra=extra),
            address=OUTSIDE.v4, namespace=OUTSIDE.name, tone_hz=OUTSIDE_TONE_HZ,
            ca_file=str(self.ca_file), **options)
        self.scratch.enter(phone)
        if register and wait:
            phone.wait_registered(15)
        return phone

    def phone_inside(self, answer="auto", account=None, **options):
        """On plain RTP, reached by NUMBER. `account`: more of baresip.Account's fields."""
        phone = baresip.Baresip(
            NUMBER, self.scratch.folder / "inside",
            baresip.Account(NUMBER, DOMAIN, transport="udp",
                            outbound=f"{INSIDE.host_v4}:{INSIDE_SIP_PORT}", answer=answer,
                            registration_seconds=0, **(account or {})),
            address=INSIDE.v4, sip_port=INSIDE_SIP_PORT, namespace=INSIDE.name,
            tone_hz=INSIDE_TONE_HZ, **options)
        self.scratch.enter(phone)
        # Calls are offered to it once it answers the sidecar's OPTIONS.
        return phone


def call_uri(user):
    return f"sip:{user}@{DOMAIN}"


def establish(caller, called, uri):
    """Dials and waits until both say that the call is up."""
    caller.dial(uri)
    caller.wait_established(15)
    called.wait_established(5)


def hear(*phones, packets=60):
    """Waits until each phone has received that many more RTP packets."""
    for phone in phones:
        before = phone.rtp_statistics().get("received", 0)
        case.eventually(lambda: phone.rtp_statistics().get("received", 0) >= before + packets,
                        lambda: f"{phone.name} hears {packets} packets: "
                                f"{phone.rtp_statistics()}", every=0.1)


def expect_tones(outside, inside, seconds=1.0):
    """After the call: each recorded the other's tone."""
    for phone, wanted in ((inside, OUTSIDE_TONE_HZ), (outside, INSIDE_TONE_HZ)):
        heard = phone.heard()
        case.expect(heard.holds(wanted, seconds),
                    f"{phone.name} should hear {wanted} Hz for {seconds} s, heard {heard}")
        case.note(f"{phone.name} heard {heard.frequency_hz:.0f} Hz for {heard.tone_seconds:.1f} s")


def hang_up(phone, other):
    """Ends the call from `phone`'s side; both know it afterwards."""
    phone.hang_up()
    for one in (phone, other):
        one.wait_closed(5)
