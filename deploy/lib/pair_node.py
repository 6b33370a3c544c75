"""turnpiked as a node of a traversal pair: its file, its process, what it says of itself.

Hides: the form of the configuration file, the namespace that it runs in, HTTP on a unix socket.
Not: what a pair consists of (traversal.py for calls of phones; the tests have a smaller one).
"""

import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class PairError(RuntimeError):
    """Something did not come up, or a call did not do what it must; the text says what."""


def wait_for(predicate, what, timeout=15.0):
    """Its first true value; raises PairError with `what` (a text or a function)."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise PairError(f"not within {timeout:g} s: {what() if callable(what) else what}")
        time.sleep(0.02)
    return value


def run_tool(*words, text=None):
    """What it prints; raises PairError when it fails."""
    done = subprocess.run([str(word) for word in words], input=text, capture_output=True,
                          text=True, check=False)
    if done.returncode:
        raise PairError(f"{' '.join(map(str, words[:6]))}: {done.stderr.strip()}")
    return done.stdout


def end_with_parent(number=signal.SIGTERM):
    """In a child before it becomes another program: it gets this signal when its parent is gone,
    however that went. The parent is the thread that starts it."""
    _libc.prctl(_PR_SET_PDEATHSIG, number)


def spawn(command, log_path, folder):
    """A process in a session of its own that does not outlive this one."""
    with open(log_path, "ab") as log:
        return subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, cwd=folder, preexec_fn=end_with_parent)


def end_group(process):
    """Kills it and what it started, at once."""
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _line(key, value):
    if isinstance(value, (list, tuple)):
        text = "[" + ", ".join(f'"{item}"' for item in value) + "]"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = str(value) if isinstance(value, int) else f'"{value}"'
    return f"{key} = {text}"


def to_toml(sections):
    """{section: {key: value}} as a configuration file; a value of None is left out."""
    lines = []
    for section, keys in sections.items():
        lines.append(f"[{section}]")
        lines += [_line(key, value) for key, value in keys.items() if value is not None]
    return "\n".join(lines) + "\n"


def zone_sections(role, name, files, own, peers, domain, **zone):
    """What the file of a node says of itself and of its zone "dmz". `own`: the name of its
    certificate in `files`, where --make-dev-certs has put all; `domain`: of the names in them;
    `peers`: {name: keys}; `zone`: further keys, `tls_name` if it is not the node's name in the
    domain."""
    return {
        "node": {"name": name, "role": role},
        "zone.dmz": {
            "tls_name": f"{name}.{domain}", "tls_verify_subject": f"cluster.{domain}",
            "certificate_file": files / f"{own}.pem", "private_key_file": files / f"{own}.key",
            "trust_file": files / "ca.pem", "password_file": files / "password", **zone},
        **{f"zone.dmz.peer.{peer}": keys for peer, keys in peers.items()}}


class Daemon:
    """One turnpiked. `place`: name of its network namespace; `programs`: name to path of turnpiked
    and turnpikectl; `name`: what messages call it."""

    def __init__(self, name, place, folder, programs):
        self.name, self.place, self.programs = name, place, programs
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_path = self.folder / "turnpike.toml"
        self.process = None

    def write_config(self, sections):
        self.config_path.write_text(to_toml(sections))

    def command(self, *words):
        """The command line that runs `words` in its place."""
        return ["ip", "netns", "exec", self.place, *(str(word) for word in words)]

    def tool(self, *words):
        """One of turnpiked's one-shot commands."""
        return run_tool(*self.command(self.programs["turnpiked"], "--config", self.config_path,
                                      *words))

    def log(self, program="turnpiked"):
        path = self.folder / f"{program}.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    # -- life ----------------------------------------------------------------------------------

    def start(self):
        before = len(self.log())
        self.process = spawn(self.command(self.programs["turnpiked"], "--config",
                                          self.config_path), self.folder / "turnpiked.log",
                             self.folder)
        wait_for(lambda: "event=ready" in self.log()[before:] or self._has_ended(),
                 lambda: f"turnpiked of the {self.name} is ready: {self.log()[-800:]}")
        return self

    def _has_ended(self):
        if self.process.poll() is not None:
            raise PairError(f"turnpiked of the {self.name} ended with {self.process.returncode}: "
                            f"{self.log()[-800:]}")
        return False

    def kill(self):
        process, self.process = self.process, None
        end_group(process)

    def stop(self):
        """Raises when it has ended before, or does not end well; nothing to do when not started."""
        process, self.process = self.process, None
        if process is None:
            return
        early = process.poll()
        process.terminate()
        try:
            code = process.wait(15)
        except subprocess.TimeoutExpired:
            end_group(process)
            raise PairError(f"turnpiked of the {self.name} does not end: "
                            f"{self.log()[-800:]}") from None
        if code or early is not None:
            raise PairError(f"turnpiked of the {self.name} ended with {code}: {self.log()[-800:]}")

    # -- what an operator sees -----------------------------------------------------------------

    def get(self, path):
        """What the API answers, as text."""
        link = http.client.HTTPConnection("localhost", timeout=5)
        link.sock = socket.socket(socket.AF_UNIX)
        link.sock.settimeout(5)
        with contextlib.closing(link):
            link.sock.connect(str(self.folder / "api.sock"))
            link.request("GET", path)
            return link.getresponse().read().decode()

    def zone(self):
        return json.loads(self.get("/v1/zones"))["zones"][0]

    def is_up(self):
        return self.zone()["state"] == "up"

    def sessions(self):
        return json.loads(self.get("/v1/sessions"))["sessions"]

    def control(self, *words):
        """What turnpikectl says."""
        return run_tool(self.programs["turnpikectl"], "--socket", self.folder / "api.sock", *words)
