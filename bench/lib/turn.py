"""TURN servers as what is measured: Turnpike's and coturn, the generator's clients and their peers.

    clients: 45.10.0.1 ... --- 45.9.1.1 | server | relayed ports --- 45.9.2.10: peers

Hides: their configuration, the generator's words. Both serve UDP, TCP and TLS, take time-limited
credentials of one secret, have the same ports, and keep the default rules for peers.
"""

import contextlib
import os
import shutil
import subprocess
import time

from . import measure, network, relays

MODES = ("turn-channels", "turn-indications")
STREAM_MODES = ("turn-channels-tcp", "turn-channels-tls")
REALM = "bench.example"
SECRET = "a-secret-of-the-measurement-only"
PORT_MIN, PORT_MAX = 10000, 34999
ALLOCATIONS_MAX = PORT_MAX - PORT_MIN + 1
BINDING = bytes.fromhex("000100002112a442") + b"is it there?"


class TurnServer(relays.Relay):
    """Ready when it answers a Binding request."""

    ready_at = (network.TURN_SERVER, 3478)
    ready_question = BINDING
    ready_answer = b"is it there?"


class Turnpike(TurnServer, relays.Turnpike):
    media_ports = (36000, 36255)  # few, whose sockets are soon bound ahead

    @contextlib.contextmanager
    def running(self, space, folder, core):
        with super().running(space, folder, core) as process:
            _await_rest(process.pid)
            yield process

    def command(self, folder):
        command = super().command(folder)
        certificate, key = identity_in(folder)
        with open(folder / "turnpike.toml", "a", encoding="ascii") as config:
            config.write(
                f'[interface.turn]\naddresses = ["{network.TURN_SERVER}"]\n'
                f'[turn]\ninterface = "turn"\nport_min = {PORT_MIN}\nport_max = {PORT_MAX}\n'
                f"allocations_max = {ALLOCATIONS_MAX}\nconnections_max = {ALLOCATIONS_MAX}\n"
                f'certificate_file = "{certificate}"\nprivate_key_file = "{key}"\n'
                f'[turn.realm.main]\nrealm = "{REALM}"\nsecret_files = ["{secret_in(folder)}"]\n')
        return command


class Coturn(TurnServer):
    name = "coturn"

    def __init__(self, threads):
        self.executable = shutil.which("turnserver")
        self.threads = threads

    def version(self):
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "coturn"],
                              capture_output=True, text=True, check=False)
        return done.stdout.strip() or "unknown"

    def command(self, folder):
        config = folder / "turnserver.conf"
        certificate, key = identity_in(folder)
        config.write_text(
            f"listening-ip={network.TURN_SERVER}\nrelay-ip={network.TURN_SERVER}\n"
            f"listening-port=3478\nmin-port={PORT_MIN}\nmax-port={PORT_MAX}\nrealm={REALM}\n"
            f"use-auth-secret\nstatic-auth-secret={SECRET}\nrelay-threads={self.threads}\n"
            f"tls-listening-port=5349\ncert={certificate}\npkey={key}\n"
            "no-dtls\nno-tcp-relay\nno-cli\nno-software-attribute\n"
            f"userdb={folder}/turndb\npidfile={folder}/turnserver.pid\n"
            "no-stdout-log\nsimple-log\nlog-file=/dev/null\n")
        config.chmod(0o600)
        return [self.executable, "-c", config]


def _await_rest(pid):
    """Until no descriptors come any more that would be taken for those of allocations."""
    now, before = -1, -2
    while now != before:
        time.sleep(0.2)
        before, now = now, len(os.listdir(f"/proc/{pid}/fd"))


def identity_in(folder):
    """Paths of a certificate and its key."""
    certificate, key = folder / "turn.pem", folder / "turn.key"
    if not certificate.exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=turn.bench.example", "-addext",
             f"subjectAltName=IP:{network.TURN_SERVER}", "-keyout", key, "-out", certificate],
            check=True, capture_output=True)
        key.chmod(0o600)
    return certificate, key


def secret_in(folder):
    path = folder / "turn-secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


class TurnBench(measure.Bench):
    """Runs whose calls are allocations."""

    noun = "allocation"
    ends = ((network.TURN_FIRST_CLIENT, network.TURN_PEER),
            (network.TURN_SERVER, network.TURN_SERVER))

    def way_in(self, mode):
        return "--secret-file", secret_in(self.folder), "--mode", mode

    def direct(self):
        return "--direct", "yes", "--mode", MODES[0]
