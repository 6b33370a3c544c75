"""A baresip that is driven over its TCP control port: a real SIP client without a sound card.

Hides: baresip's configuration files, its control protocol (netstrings of JSON), its events and
where it leaves recordings. Not: what a call should look like; the caller judges.

    phone = Baresip("alice", directory, Account("alice", "edge.example.com", "secret",
                    transport="tls", outbound="203.0.113.1:5061", media_encryption="srtp-mand"),
                    tone_hz=1000, ca_file="ca.pem")
    with phone:
        phone.wait_registered()
        phone.dial("sip:bob@edge.example.com")
        phone.wait_event("CALL_ESTABLISHED")
        phone.hang_up()
    phone.heard().holds(440)
"""

import collections
import dataclasses
import glob
import itertools
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import time

import netns
import tone
from pair_node import end_with_parent

EXECUTABLE = "/usr/bin/baresip"


class BaresipError(RuntimeError):
    """baresip did not start, answer or report what was waited for."""


@dataclasses.dataclass
class Account:
    """One SIP account. `outbound` is HOST:PORT of the proxy; empty sends to the domain."""

    user: str
    domain: str
    password: str = ""
    transport: str = "udp"  # udp, tcp, tls
    outbound: str = ""
    media_encryption: str = ""  # "", srtp, srtp-mand, srtp-mandf, dtls_srtp
    answer: str = "manual"  # manual, early, auto
    registration_seconds: int = 60  # 0: do not register
    auth_user: str = ""
    codecs: str = "pcmu/8000/1"
    extra: str = ""  # more parameters, ";name=value…"

    def line(self) -> str:
        parts = [f"<sip:{self.user}@{self.domain};transport={self.transport}>"]
        if self.password:
            parts.append(f"auth_user={self.auth_user or self.user}")
            parts.append(f"auth_pass={self.password}")
        if self.outbound:
            parts.append(f'outbound="sip:{self.outbound};transport={self.transport}"')
        parts.append(f"regint={self.registration_seconds}")
        parts.append(f"answermode={self.answer}")
        if self.media_encryption:
            parts.append(f"mediaenc={self.media_encryption}")
        if self.codecs:
            parts.append(f"audio_codecs={self.codecs}")
        return ";".join(parts) + self.extra + "\n"


class Baresip:
    """One baresip process. `directory` is emptied of old recordings and holds its files.

    `address`: what it binds to and names in SDP; needed when the host has several.
    `namespace`: runs inside this network namespace. `ports`: its RTP port range.
    `tone_hz`: what it plays, 8 kHz mono; 0 plays silence. It hangs up when `tone_seconds` are over.
    `record`: keep what it plays and hears as wave files.
    """

    def __init__(self, name, directory, account, *, address="", namespace=None, interface="",
                 tone_hz=1000, tone_seconds=90, ca_file="", certificate="", sip_port=0,
                 ports="20000-29998", modules=(), config_extra="", rtcp_mux=False,
                 record=True):
        self.name, self.account = name, account
        self.directory = pathlib.Path(directory)
        self._address, self._namespace, self._interface = address, namespace, interface
        self._tone_hz, self._tone_seconds = tone_hz, tone_seconds
        self._ca_file, self._certificate, self._sip_port = ca_file, certificate, sip_port
        self._ports, self._modules, self._config_extra = ports, modules, config_extra
        self._rtcp_mux, self._record = rtcp_mux, record
        self._process = None
        self._control = None
        self._buffer = b""
        self._tokens = itertools.count(1)
        self._answers = {}
        self._statistics = {}
        self.events = []  # dictionaries as baresip sent them, oldest first, plus "at" (monotonic)
        self._read = collections.Counter()  # per event type: how many were waited for

    # -- life ----------------------------------------------------------------------------------

    def start(self, timeout: float = 10.0) -> "Baresip":
        if not os.access(EXECUTABLE, os.X_OK):
            raise BaresipError(f"{EXECUTABLE} is missing: apt-get install baresip-core")
        control_port = self._free_port()
        self.prepare(control_port)
        command = ["stdbuf", "-oL", EXECUTABLE, "-f", str(self.directory)]
        if self._namespace:
            command = ["ip", "netns", "exec", self._namespace, *command]
        with open(self.directory / "log", "wb") as log:
            # Ends with its parent, so that a killed caller leaves no phone behind.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                cwd=self.directory, preexec_fn=lambda: end_with_parent(signal.SIGKILL))
        deadline = time.monotonic() + timeout
        while self._control is None:
            if self._process.poll() is not None:
                raise BaresipError(f"baresip {self.name} ended at start: {self.log_tail()}")
            try:
                self._control = netns.connect(self._namespace, "127.0.0.1", control_port, 1.0)
            except OSError as error:
                if time.monotonic() > deadline:
                    self.stop()
                    raise BaresipError(
                        f"baresip {self.name}: no control port: {self.log_tail()}") from error
                time.sleep(0.02)
        return self

    def stop(self, timeout: float = 5.0) -> None:
        """Ends the process; its wave files are complete afterwards."""
        if self._control is not None:
            try:
                self._send({"command": "quit", "params": "", "token": "quit"})
            except OSError:
                pass
        if self._process is not None:
            if self._control is None:
                self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._control is not None:
            self._control.close()
            self._control = None

    def kill(self) -> None:
        """Takes it away without a goodbye, like a lost host."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> "Baresip":
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()

    @property
    def tone_hz(self) -> int:
        """What it plays."""
        return self._tone_hz

    @property
    def pid(self) -> int:
        return self._process.pid

    def log_tail(self, lines: int = 12) -> str:
        """The end of what it printed, on one line, without passwords and keys."""
        kept = [line.strip() for line in self._log().splitlines() if line.strip()]
        return " | ".join(kept[-lines:]) or "(no output)"

    def _log(self) -> str:
        try:
            text = (self.directory / "log").read_text("utf-8", "replace")
        except OSError:
            return ""
        text = re.sub(r"\x1b\[[0-9;]*[mK]", "", text)
        text = re.sub(r"inline:\S+", "inline:…", text)
        return text.replace(self.account.password, "…") if self.account.password else text

    def prepare(self, control_port: int = 0) -> None:
        """Writes its files. start() does it; on its own for a baresip that others run with
        `baresip -f DIRECTORY`, which then has no control port (0)."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for old in glob.glob(str(self.directory / "dump-*.wav")):
            os.unlink(old)
        tone_file = self.directory / "tone.wav"
        tone.write_tone(str(tone_file), self._tone_hz, self._tone_seconds)
        media = [m for m in ("srtp", "dtls_srtp")
                 if self.account.media_encryption.startswith(m)]
        modules = ["uuid", "g711", "aufile", *media, *self._modules]
        modules += ["sndfile"] if self._record else []
        applications = ["account", "menu"] + (["ctrl_tcp"] if control_port else [])
        lines = [
            "poll_method epoll",
            "call_local_timeout 30",
            "call_max_calls 4",
            f"audio_source aufile,{tone_file}",
            "audio_player nil,nil",
            "audio_txmode thread",
            f"rtp_ports {self._ports}",
            f"rtcp_mux {'yes' if self._rtcp_mux else 'no'}",
            "statmode_default off",
            f"snd_path {self.directory}",
            "module_path /usr/lib/baresip/modules",
            *(f"module {m}.so" for m in modules),
            *(f"module_app {m}.so" for m in applications),
        ]
        if control_port:
            lines.append(f"ctrl_tcp_listen 127.0.0.1:{control_port}")
        if self._address:
            host = f"[{self._address}]" if ":" in self._address else self._address
            lines.append(f"sip_listen {host}:{self._sip_port}")
        if self._interface or self._address:
            lines.append(f"net_interface {self._interface or self._address}")
        if self._ca_file:
            lines.append(f"sip_cafile {self._ca_file}")
        if self._certificate:
            lines.append(f"sip_certificate {self._certificate}")
        if self._config_extra:
            lines.append(self._config_extra)
        (self.directory / "config").write_text("\n".join(lines) + "\n")
        accounts = self.directory / "accounts"
        accounts.touch(mode=0o600)
        accounts.write_text(self.account.line())
        (self.directory / "contacts").write_text("")

    # -- commands and events ---------------------------------------------------------------------

    def command(self, name: str, parameters: str = "", timeout: float = 5.0) -> str:
        """Runs a command of baresip's menu; returns what it printed. Raises when refused."""
        token = str(next(self._tokens))
        self._send({"command": name, "params": parameters, "token": token})
        deadline = time.monotonic() + timeout
        while token not in self._answers:
            self._pump(deadline, f"answer to {name}")
        answer = self._answers.pop(token)
        if not answer.get("ok", False):
            raise BaresipError(f"{self.name}: {name} {parameters}: {answer.get('data', '')}")
        return re.sub(r"\x1b\[[0-9;]*[mK]", "", str(answer.get("data", "")))

    def dial(self, uri: str) -> None:
        self.command("dial", uri)

    def accept(self) -> None:
        self.command("accept")

    def hang_up(self) -> None:
        self.rtp_statistics()
        self.command("hangup")

    def hold(self) -> None:
        self.command("hold")

    def resume(self) -> None:
        self.command("resume")

    def wait_event(self, kind: str, timeout: float = 10.0, or_fail: tuple = ()) -> dict:
        """The next event of this type that was not waited for yet. Events of `or_fail` that
        come first raise at once with their text."""
        deadline = time.monotonic() + timeout
        seen_failures = {k: self._read[k] for k in or_fail}
        while True:
            matching = [event for event in self.events if event.get("type") == kind]
            if len(matching) > self._read[kind]:
                self._read[kind] += 1
                return matching[self._read[kind] - 1]
            for failure, already in seen_failures.items():
                bad = [event for event in self.events if event.get("type") == failure]
                if len(bad) > already:
                    self._read[failure] = len(bad)
                    raise BaresipError(
                        f"{self.name}: {failure} ({bad[-1].get('param', '')}) while waiting "
                        f"for {kind}")
            self._pump(deadline, kind)

    def wait_registered(self, timeout: float = 10.0) -> None:
        """Until its registration is up. It may have come up before we could listen to events."""
        deadline = time.monotonic() + timeout
        while not re.search(r"\bOK\b", self.command("reginfo")):
            failures = self.events_of("REGISTER_FAIL")
            if failures:
                raise BaresipError(
                    f"{self.name}: registration refused: {failures[-1].get('param', '')}")
            if time.monotonic() > deadline:
                raise BaresipError(f"{self.name}: not registered in time: {self.log_tail()}")
            select.select([self._control], [], [], 0.05)

    def wait_established(self, timeout: float = 10.0) -> dict:
        return self.wait_event("CALL_ESTABLISHED", timeout, or_fail=("CALL_CLOSED",))

    def wait_closed(self, timeout: float = 10.0) -> dict:
        return self.wait_event("CALL_CLOSED", timeout)

    def poll(self) -> None:
        """Takes in what has arrived, without waiting."""
        while select.select([self._control], [], [], 0)[0] and self._receive():
            pass

    def forget_events(self) -> None:
        """What has happened until now is no longer waited for: a new call begins."""
        self.poll()
        self._read = collections.Counter(event.get("type") for event in self.events)
        self._statistics = {}

    def events_of(self, kind: str) -> list[dict]:
        self.poll()
        return [event for event in self.events if event.get("type") == kind]

    # -- what came of it -------------------------------------------------------------------------

    def suite(self) -> str:
        """SRTP suite of the newest call as baresip names it; "" when its media is clear."""
        up = max((i for i, e in enumerate(self.events) if e["type"] == "CALL_ESTABLISHED"),
                 default=0)
        begin = max((i for i, e in enumerate(self.events[:up]) if e["type"] == "CALL_CLOSED"),
                    default=0)
        for event in self.events[begin:]:
            match = re.search(r"(AES_\w+|AEAD_\w+)", str(event.get("param", "")))
            if event["type"] == "CALL_MENC" and match:
                return match.group(1)
        return ""

    def rtp_statistics(self) -> dict:
        """Packets of the current call by baresip's own count: {"sent", "received", "lost"};
        lost is what did not arrive here. After hang_up(): as it was just before."""
        try:
            found = parse_statistics(self.command("audio_debug"))
        except (BaresipError, OSError):
            found = {}
        if found:
            self._statistics = found
        return self._statistics

    def media_remote(self) -> str:
        """ADDRESS:PORT to which it sends RTP in the current call; "" without a call."""
        match = re.search(r"remote: (\S+?)/", self.command("audio_debug"))
        return match.group(1) if match else ""

    def recordings(self, heard: bool = True) -> list[str]:
        """Wave files of what it heard (or played), oldest first."""
        kind = "dec" if heard else "enc"
        return sorted(glob.glob(str(self.directory / f"dump-*-{kind}.wav")), key=os.path.getmtime)

    def heard(self) -> tone.ToneReport:
        """The tone in the newest recording of what it heard. Complete after a hang-up."""
        files = self.recordings()
        if not files:
            raise BaresipError(f"{self.name}: no recording: {self.log_tail()}")
        return tone.analyse(files[-1])

    # -- inside ----------------------------------------------------------------------------------

    def _free_port(self) -> int:
        with netns.inside(self._namespace), socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def _send(self, message: dict) -> None:
        text = json.dumps(message).encode()
        self._control.sendall(b"%d:%s," % (len(text), text))

    def _pump(self, deadline: float, what: str) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise BaresipError(f"{self.name}: no {what} in time: {self.log_tail()}")
        ready, _, _ = select.select([self._control], [], [], left)
        if ready and not self._receive():
            raise BaresipError(f"{self.name}: baresip went away: {self.log_tail()}")

    def _receive(self) -> bool:
        try:
            data = self._control.recv(65536)
        except OSError:
            data = b""
        self._buffer += data
        for text in self._netstrings():
            message = json.loads(text.decode("utf-8", "replace"))
            if message.get("response"):
                self._answers[str(message.get("token", ""))] = message
            else:
                message["at"] = time.monotonic()
                self.events.append(message)
        return bool(data)

    def _netstrings(self):
        while True:
            head, colon, rest = self._buffer.partition(b":")
            if not colon or len(rest) < int(head) + 1:
                return
            size = int(head)
            self._buffer = rest[size + 1 :]
            yield rest[:size]


def parse_statistics(text: str) -> dict:
    """Counts in the output of baresip's `audio_debug` during a call; empty without a call."""
    sent = re.search(r"TX: packets=(\d+)", text)
    received = re.search(r"rcvd=(\d+)", text)
    lost = re.search(r"member \S+ lost=(-?\d+)", text)
    if not sent or not received:
        return {}
    return {"sent": int(sent.group(1)), "received": int(received.group(1)),
            "lost": int(lost.group(1)) if lost else 0}
