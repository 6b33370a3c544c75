"""An edge under test: generated files, a real Kamailio on them, a relay, clients and servers.

    edge = Edge(scratch)                       # topology of lib/network.py around it
    alice = edge.client("alice")               # TLS connection of a registered user
    pbx = edge.inside_server()                 # answers OPTIONS, waits for calls

Hides: certificates, the configuration file, starting and stopping, counters.
"""

import pathlib
import re
import socket
import subprocess
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib import case, network, turnpiked  # noqa: E402
from lib.certificates import Certificates  # noqa: E402
import fake_ng  # noqa: E402
import sip  # noqa: E402
import ws  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
DOMAIN = "edge.example.com"
OUTSIDE, INSIDE = "198.51.100.1", "10.20.0.1"
TLS, MTLS, CLEAR = (OUTSIDE, 5061), (OUTSIDE, 5062), (INSIDE, 5060)
WSS, ORIGIN = (OUTSIDE, 8443), "https://phone.example.com"
PASSWORDS = {"alice": "alice's secret", "bob": "bob's secret"}
PBX_PORT = 5070


def _toml(sections: dict) -> str:
    lines = []
    for section, keys in sections.items():
        lines.append(f"[{section}]")
        for key, value in keys.items():
            if isinstance(value, bool):
                text = str(value).lower()
            elif isinstance(value, list):
                text = "[" + ", ".join(f'"{item}"' for item in value) + "]"
            else:
                text = str(value) if isinstance(value, int) else f'"{value}"'
            lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"


class Edge:
    """`sections` overrides or adds sections of the configuration. `before`: called with the
    Certificates before the files are generated. The relay is a fake that counts (`ng`), or with
    `real_relay` a turnpiked (`daemon`)."""

    def __init__(self, scratch, sections: dict = None, before=None, real_relay: bool = False):
        self.scratch, self.folder = scratch, scratch.folder
        scratch.enter(network.topology())
        self.directory = self.folder / "sidecar"
        self.log_path = self.folder / "kamailio.log"
        self.config = self.folder / "turnpike.toml"
        self.ng = self.daemon = None
        if real_relay:
            self.daemon = turnpiked.Turnpiked(
                scratch, self._sections(sections or {}), start=False)
        else:
            self.ng = fake_ng.FakeNg(str(self.folder / "ng.sock"))
            scratch.on_exit(self.ng.close)
            self.config.write_text(_toml(self._sections(sections or {})))
        self._write_users()
        self.turnpiked("--make-dev-certs", str(self.folder / "pki"))
        self.certificates = Certificates(self.folder / "pki")
        if before:
            before(self.certificates)
        self.turnpiked("--write-sidecar")
        if self.daemon:
            self.daemon.start()
        self.process = None
        scratch.on_exit(self._print_log)
        self.start()

    def _print_log(self) -> None:
        print("".join(f"     | {line}\n" for line in self.log().splitlines()[-40:]), end="")

    def _sections(self, changes: dict) -> dict:
        sections = {
            "interface.outside": {"addresses": [OUTSIDE, "2001:db8:51::1"], "srtp": "required"},
            "interface.inside": {"addresses": [INSIDE]},
            "ng": {"unix": str(self.folder / "ng.sock")},
            "api": {"metrics": fake_ng.HEALTH},
            "sip": {
                "domains": [DOMAIN], "inside_networks": ["10.20.0.0/16"],
                "certificate_file": "pki/server.pem", "private_key_file": "pki/server.key",
                "peer_certificate_file": "pki/traversal.pem",
                "peer_private_key_file": "pki/traversal.key", "trust_file": "pki/ca.pem",
                "users_file": "users", "directory": "sidecar", "worker_processes": 2,
                "wss_port": WSS[1], "websocket_origins": [ORIGIN],
                "runtime_directory": str(self.folder), "keepalive_seconds": 1,
                "emergency_numbers": ["112"], "emergency_servers": "pbx",
            },
            "sip.servers.pbx": {"uris": [f"sip:{network.INSIDE.v4}:{PBX_PORT}"]},
            "sip.route.internal": {"pattern": "[1-9][0-9]{3}", "servers": "pbx"},
            "sip.peer.partner": {"domains": ["partner.example"],
                                 "certificate_names": ["sip.partner.example"]},
        }
        for section, keys in changes.items():
            if keys is None:
                del sections[section]
            else:
                sections.setdefault(section, {}).update(keys)
        return sections

    def _write_users(self) -> None:
        lines = []
        for name, password in PASSWORDS.items():
            ha1 = sip.hashlib.md5(f"{name}:{DOMAIN}:{password}".encode()).hexdigest()
            lines.append(f"{name} {DOMAIN} {ha1}\n")
        (self.folder / "users").write_text("".join(lines))

    def turnpiked(self, *words, fails: bool = False) -> str:
        done = subprocess.run([turnpiked.executable(), "--config", str(self.config), *words],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        if bool(done.returncode) != fails:
            raise case.Failed(f"turnpiked {' '.join(words)}: {done.stdout} {done.stderr}")
        return done.stdout + done.stderr

    # -- Kamailio --------------------------------------------------------------------------------

    def start(self) -> None:
        with open(self.log_path, "ab") as log:
            self.process = self.scratch.spawn(
                "/usr/sbin/kamailio", "-DD", "-E", "-M", "8",
                "-f", self.directory / "kamailio.cfg", "-Y", self.folder, "-w", self.folder,
                stdout=log, stderr=log)
        case.eventually(self._serves, lambda: f"kamailio serves: {self.log()[-1500:]}", 20)

    def restart(self, *changes) -> None:
        """With other figures than those that are generated: (before, after) in kamailio.cfg."""
        config = self.directory / "kamailio.cfg"
        text = config.read_text()
        for before, after in changes:
            case.expect(before in text, f"{before} is there to be changed")
            text = text.replace(before, after)
        config.write_text(text)
        case.end_group(self.process)
        (self.folder / "turnpike_ctl").unlink(missing_ok=True)
        self.start()

    def reload(self) -> str:
        """What `systemctl reload` runs, by the unit's own lines; "" or why it failed."""
        unit = (ROOT / "deploy" / "systemd" / "turnpike-sip.service").read_text()
        lines = re.findall(r"^ExecReload=\+?(.*)$", unit, re.M)
        case.expect(len(lines) == 2, "the unit reloads")
        for line in lines:
            for ours, here in (("/usr/local/sbin/turnpiked", turnpiked.executable()),
                               ("/etc/turnpike/turnpike.toml", self.config),
                               ("/run/kamailio", self.folder)):
                line = line.replace(ours, str(here))
            done = subprocess.run(line.split(), stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, check=False)
            if done.returncode:
                return done.stdout + done.stderr
        return ""

    def _serves(self) -> bool:
        if self.process.poll() is not None:
            raise case.Failed(f"kamailio ended at start: {self.log()[-1500:]}")
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with probe:
            return probe.connect_ex(TLS) == 0 and (self.folder / "turnpike_ctl").exists()

    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    def counter(self, name: str) -> int:
        """One of the sidecar's counters of refusals."""
        done = subprocess.run(
            ["kamcmd", "-s", f"unix:{self.folder}/turnpike_ctl", "stats.fetch", f"script:{name}"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        found = re.search(r"= *(\d+)|: *(\d+)", done.stdout)
        if not found:
            raise case.Failed(f"no counter {name}: {done.stdout}{done.stderr}")
        return int(found.group(1) or found.group(2))

    def remembered(self, table: str) -> int:
        """How many entries a hash table of the script has."""
        done = subprocess.run(
            ["kamcmd", "-s", f"unix:{self.folder}/turnpike_ctl", "htable.stats"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        found = re.search(rf"name: {table}\s.*?all: (\d+)", done.stdout, re.S)
        if not found:
            raise case.Failed(f"no table {table}: {done.stdout}")
        return int(found.group(1))

    def memory(self) -> dict:
        """Bytes of shared memory: "total", "free", "real_used"."""
        done = subprocess.run(
            ["kamcmd", "-s", f"unix:{self.folder}/turnpike_ctl", "core.shmmem"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        return {name: int(value) for name, value in re.findall(r"(\w+): (\d+)", done.stdout)}

    def connections(self) -> str:
        """The TCP and TLS connections that the sidecar holds."""
        done = subprocess.run(
            ["kamcmd", "-s", f"unix:{self.folder}/turnpike_ctl", "core.tcp_list"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        return done.stdout

    # -- who talks to it -------------------------------------------------------------------------

    def connect(self, remote=TLS, certificate: str = "", name: str = DOMAIN, port: int = 0,
                place=network.OUTSIDE) -> sip.Agent:
        agent = sip.Agent(place, port, "tls")
        self.scratch.on_exit(agent.close)
        return agent.connect(remote, self.certificates.context(certificate), name)

    def websocket(self, origin: str = ORIGIN, name: str = DOMAIN, place=network.OUTSIDE,
                  **handshake) -> ws.Agent:
        """An open WebSocket of nobody yet; raises ws.Refused."""
        agent = ws.Agent(place)
        self.scratch.on_exit(agent.close)
        return agent.connect(WSS, self.certificates.context(), name, origin=origin, **handshake)

    def browser(self, user: str, expires: int = 600) -> ws.Agent:
        """A registered client in a browser."""
        agent = self.websocket()
        answer = register(agent, user, PASSWORDS[user], expires, contact=(
            f'{agent.contact(user).replace(";ob", "")};+sip.ice;reg-id=1;'
            f'+sip.instance="<urn:uuid:{uuid.uuid4()}>"'), supported="path,gruu,outbound")
        case.expect(answer.status == 200, f"REGISTER of {user}: {answer.start}")
        return agent

    def client(self, user: str, expires: int = 600) -> sip.Agent:
        """A registered client."""
        agent = self.connect()
        answer = register(agent, user, PASSWORDS[user], expires)
        case.expect(answer.status == 200, f"REGISTER of {user}: {answer.start}")
        return agent

    def inside(self, port: int = 0, address: str = "") -> sip.Agent:
        agent = sip.Agent(network.INSIDE, port, "udp", address)
        self.scratch.on_exit(agent.close)
        return agent.connect(CLEAR)

    def inside_server(self) -> sip.Agent:
        """The inside server of the default route. It answers OPTIONS whenever a test listens."""
        agent = self.inside(PBX_PORT)
        agent.answers_options = True
        return agent


def register(agent: sip.Agent, user: str, password: str, expires: int = 600, contact: str = "",
             supported: str = "", domain: str = DOMAIN, more: tuple = (),
             **options) -> sip.Message:
    """Registers with digest; the final answer. `more`: further headers."""
    uri = f"sip:{domain}"
    extra = [("Expires", str(expires)), ("Contact", contact or agent.contact(user))]
    extra += [("Supported", supported)] if supported else []
    extra += more
    sent = sip.request(agent, "REGISTER", uri, f"sip:{user}@{domain}", f"sip:{user}@{domain}",
                       extra=extra, contact=False, **options)
    answer = agent.final()
    if answer.status != 401:
        return answer
    sip.again(agent, sent, [sip.digest(answer, "REGISTER", uri, user, password)])
    return agent.final()


def invite(agent: sip.Agent, user: str, uri: str, body: str, password: str = "",
           domain: str = DOMAIN, **options) -> sip.Message:
    """An INVITE of `user` with credentials; returns what was sent last. The caller reads on."""
    sent = sip.request(agent, "INVITE", uri, f"sip:{user}@{domain}", user=user, body=body,
                       **options)
    challenge = agent.final(method="INVITE")
    if challenge.status != 407:
        raise case.Failed(f"INVITE was not challenged: {challenge.start}")
    sip.acknowledge(agent, sent, challenge)
    header = sip.digest(challenge, "INVITE", uri, user, password or PASSWORDS[user])
    return sip.again(agent, sent, [header])


def outside_sdp(**options) -> str:
    return sip.sdp(network.OUTSIDE.v4, 40000, "RTP/SAVP", **options)


FINGERPRINT = ":".join(["AB"] * 32)


def dtls_sdp(ice: bool = True, protocol: str = "UDP/TLS/RTP/SAVPF", address: str = "",
             direction: str = "sendrecv") -> str:
    """What a browser offers or answers (trickle: no address yet); without `ice` a softphone."""
    host, port = (address or "0.0.0.0", 9) if ice else (address or network.OUTSIDE.v4, 40000)
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0",
             f"m=audio {port} {protocol} 0", f"c=IN IP4 {host}", "a=rtpmap:0 PCMU/8000",
             f"a=fingerprint:sha-256 {FINGERPRINT}", "a=setup:actpass", "a=mid:0", "a=rtcp-mux"]
    if ice:
        lines += ["a=ice-ufrag:abcd", "a=ice-pwd:0123456789abcdefghijklmn",
                  "a=ice-options:trickle",
                  "a=candidate:1 1 udp 2113937151 5e6f0b1c-6c1e-4e6b-9d5b-0a1b2c3d4e5f.local "
                  "50000 typ host"]
    return "\r\n".join(lines + [f"a={direction}", ""])


def inside_sdp(**options) -> str:
    return sip.sdp(network.INSIDE.v4, 50000, "RTP/AVP", **options)


def caller_side(agent: sip.Agent, user: str, sent: sip.Message, answer: sip.Message) -> sip.Call:
    """The dialog as its caller sees it after a 2xx."""
    call = sip.Call(agent, user, sent.first("from"), answer.first("to"), sent.first("call-id"),
                    answer.contact_uri(), list(reversed(answer.all("record-route"))))
    call.cseq = int(sent.first("cseq").split(" ")[0])
    return call


def called_side(agent: sip.Agent, user: str, asked: sip.Message, tag: str) -> sip.Call:
    """The dialog as its called side sees it."""
    return sip.Call(agent, user, f"{asked.first('to')};tag={tag}", asked.first("from"),
                    asked.first("call-id"), asked.contact_uri(), asked.all("record-route"))


def established_to_inside(edge):
    """alice calls 6001; both sides of the dialog, and the INVITE as the server saw it."""
    pbx, alice = edge.inside_server(), edge.client("alice")
    sent = invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    asked = pbx.expect("INVITE")
    sip.reply(pbx, asked, 180, "Ringing", "6001", to_tag="pbx")
    alice.expect(180)
    sip.reply(pbx, asked, 200, "OK", "6001", inside_sdp(), to_tag="pbx")
    answer = alice.final(method="INVITE")
    case.expect(answer.status == 200, answer.start)
    caller = caller_side(alice, "alice", sent, answer)
    caller.request("ACK", cseq=caller.cseq)
    pbx.expect("ACK")
    return caller, called_side(pbx, "6001", asked, "pbx"), asked, answer


def hang_up(by, other, edge, to=None):
    by.request("BYE", to=to)
    asked = other.agent.expect("BYE")
    sip.reply(other.agent, asked, 200, "OK")
    case.expect(by.agent.final(method="BYE").status == 200, "BYE is answered")
    case.eventually(lambda: len(edge.ng.of("delete")) == 1, "one delete")
    case.eventually(lambda: edge.remembered("hops") == 0, "nothing is remembered of the call")
