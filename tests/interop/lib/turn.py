"""A TURN server with public-looking addresses and the default peer policy, and coturn's programs
around it.

    client 45.9.1.10, 2a09:1::10 --- 45.9.1.1, 2a09:1::1 | the daemon's host
    peer   45.9.2.10, 2a09:2::10 --- 45.9.2.1, 2a09:2::1 |
    (inside as in network.py, where no client may be relayed to)

Hides: addresses, the configuration of [turn], the command lines and output of turnutils_*.
"""

import contextlib
import re
import select
import socket
import subprocess

from . import case, network, stun, turnpiked
import netns

CLIENT = network.Place("tp-tc", "45.9.1.10", "2a09:1::10", "45.9.1.1", "2a09:1::1", "tp-c")
PEER = network.Place("tp-tp", "45.9.2.10", "2a09:2::10", "45.9.2.1", "2a09:2::1", "tp-p")
REALM = "example.org"
USER, PASSWORD = "alice", "correct-horse-battery"
SECRET = "0123456789abcdef-rest-secret"
SERVER_PORT = 3478
TLS_PORT = 5349
SERVER_NAME = "turn.example.org"
RELAY_PORTS = range(24000, 30000)
# All are bound ahead at once: a daemon's descriptors are then those of its clients.
FEW_MEDIA_PORTS = {"media": {"port_min": 36000, "port_max": 36099}}


@contextlib.contextmanager
def topology():
    """Client, peer and inside, up; removed at the end."""
    with contextlib.ExitStack() as stack:
        for place in (CLIENT, PEER, network.INSIDE):
            stack.enter_context(netns.Netns(
                place.name, place.link, place.host_v4 + "/24", place.v4 + "/24"))
            network.add_v6(place.name, place.link, place.host_v6, place.v6)
        yield


def private_file(folder, name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def identity(folder, name="edge", days=30):
    """Keys of [turn] for a self-signed certificate with the server's addresses."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", str(days), "-subj", f"/CN={name}", "-keyout", key, "-out", certificate,
         "-addext",
         f"subjectAltName=IP:{CLIENT.host_v4},IP:{CLIENT.host_v6},DNS:{SERVER_NAME}"],
        check=True, capture_output=True)
    key.chmod(0o600)
    return {"certificate_file": certificate, "private_key_file": key}


def server(scratch, turn=None, realm=None, **options):
    """A turnpiked with one realm of users and a secret; `turn` and `realm` override keys."""
    users = private_file(scratch.folder, "turn-users", f"# of the test\n{USER} {PASSWORD}\n")
    secret = private_file(scratch.folder, "turn-secret", SECRET + "\n")
    sections = {
        "interface.outside": {"addresses": [CLIENT.host_v4, CLIENT.host_v6]},
        "turn": turn or {},
        "turn.realm.main": {"realm": REALM, "users_file": users, "secret_files": [secret],
                            **(realm or {})},
    }
    sections.update(options.pop("sections", {}))
    return turnpiked.Turnpiked(scratch, sections, **options)


def let_no_udp_out(place, but_to_server=False):
    """Only TCP, and UDP to the server if so."""
    allowed = f"udp dport {SERVER_PORT} accept" if but_to_server else ""
    rules = f"""table inet no_udp {{
      counter dropped {{ }}
      chain out {{
        type filter hook output priority 0;
        {allowed}
        oif != lo meta l4proto udp counter name dropped drop
      }}
    }}"""
    subprocess.run(place.command("nft", "-f", "-"), input=rules, text=True, check=True)


def realm(folder, **keys):
    """Sections of a node with one realm, of one user."""
    users = private_file(folder, "turn-users", f"{USER} {PASSWORD}\n")
    return {"turn.realm.main": {"users_file": users, **keys}}


def tcp_alone(address):
    """Of a browser: an RTCConfiguration with the server there as the only way out."""
    return {"iceTransportPolicy": "relay",
            "iceServers": [{"urls": f"turn:{address}:{SERVER_PORT}?transport=tcp",
                            "username": USER, "credential": PASSWORD}]}


def echo_peer(scratch, place=PEER, version=4):
    """turnutils_peer, which sends back what it gets."""
    with open(scratch.folder / "peer.log", "ab") as log:
        scratch.spawn(*place.command("turnutils_peer", "-L", place.address(version)),
                      stdout=log, stderr=log)

    def listens():
        sockets = subprocess.run(place.command("ss", "-Huln", "sport", "=", ":3480"),
                                 capture_output=True, text=True, check=True).stdout
        return place.address(version) in sockets
    case.eventually(listens, "turnutils_peer listens")


LONG_TERM = ("-u", USER, "-w", PASSWORD)
REST = ("-u", USER, "-W", SECRET)


def uclient(*words, auth=LONG_TERM, peer=PEER, version=4, timeout=40):
    """Output of turnutils_uclient against the daemon."""
    command = CLIENT.command("timeout", timeout, "turnutils_uclient", *auth,
                             "-e", peer.address(version), *words, CLIENT.host(version))
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout + 10)
    output = done.stdout + done.stderr
    ran = done.returncode not in (125, 126, 127) and "Usage:" not in output
    case.expect(ran, f"turnutils_uclient did not run: {output[:200]}")
    return output


def _udp_link():
    with CLIENT.sockets():
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.settimeout(5)
    link.connect((CLIENT.host_v4, SERVER_PORT))
    return link


class DtlsLink:
    """openssl s_client as what carries messages; each comes in one piece."""

    def __init__(self, scratch):
        self._program = scratch.spawn(
            *CLIENT.command("openssl", "s_client", "-quiet", "-dtls1_2", "-connect",
                            f"{CLIENT.host_v4}:{TLS_PORT}"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)

    def send(self, data):
        self._program.stdin.write(data)

    def recv(self, size):
        ready = select.select([self._program.stdout], [], [], 5)[0]
        case.expect(ready, "nothing came by DTLS")
        return self._program.stdout.read(size)

    def leave(self):
        """Without a word."""
        self._program.kill()
        self._program.wait()


class Client:
    """A client with an allocation, over UDP unless it is given another link, that speaks STUN
    itself.
    """

    def __init__(self, link=None, wanted=b""):
        wanted += stun.attribute(stun.REQUESTED_TRANSPORT, bytes([17, 0, 0, 0]))
        self.go(link or _udp_link())
        self.given = self.ask(stun.ALLOCATE, wanted)

    def go(self, link):
        """There a nonce is good for it."""
        self.link = link
        wanted = stun.attribute(stun.REQUESTED_TRANSPORT, bytes([17, 0, 0, 0]))
        self.link.send(stun.message(stun.ALLOCATE, wanted))
        challenge = stun.attributes_of(self.link.recv(4096))
        self.names = stun.attribute(stun.USERNAME, USER.encode()) + \
            stun.attribute(stun.REALM, challenge[stun.REALM]) + \
            stun.attribute(stun.NONCE, challenge[stun.NONCE])
        self.key = stun.key_of(USER, challenge[stun.REALM].decode(), PASSWORD)

    def ask(self, method, attributes):
        self.link.send(stun.signed(method, attributes + self.names, self.key))
        answer = self.link.recv(4096)
        case.expect(stun.error_of(answer) == 0, f"method {method}: {stun.error_of(answer)}")
        return stun.attributes_of(answer)

    def permit(self, ip):
        self.ask(stun.CREATE_PERMISSION,
                 stun.attribute(stun.XOR_PEER_ADDRESS, stun.xor_address(ip, 0)))

    def send(self, ip, port, data):
        peer = stun.attribute(stun.XOR_PEER_ADDRESS, stun.xor_address(ip, port))
        self.link.send(stun.message(stun.SEND, peer + stun.attribute(stun.DATA, data),
                                    message_class=1))


def expect_all_back(output, what):
    """Every message came back, and there were some."""
    sent = re.findall(r"tot_send_bytes ~ (\d+)", output)
    got = re.findall(r"tot_recv_bytes ~ (\d+)", output)
    lost = re.findall(r"Total lost packets (-?\d+)", output)
    last = " | ".join(output.splitlines()[-4:])
    case.expect(sent and got and int(sent[-1]) > 0 and sent[-1] == got[-1],
                f"{what}: sent {sent[-1:]}, got {got[-1:]} bytes: {last}")
    case.expect(lost and int(lost[-1]) == 0, f"{what}: lost {lost[-1:]}: {last}")
    case.note(f"{what}: {got[-1]} bytes there and back")


def expect_nothing_back(output, what):
    got = re.findall(r"tot_recv_bytes ~ (\d+)", output)
    case.expect(not got or int(got[-1]) == 0, f"{what}: {got[-1:]} bytes came back")
