"""A turnpiked of the release build, with the default configuration plus the test's addresses;
it does not wait for calls when it is stopped. Plain RTP is allowed outside, so that a test that
asks over NG may use it.

Hides: its configuration file, waiting until it serves, reading its metrics, noticing a crash.
"""

import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import time
import urllib.request

from . import case, ng

READY_SECONDS = 10


def executable(name="turnpiked"):
    found = [path for path in (case.ROOT / "build" / "release").rglob(name)
             if path.is_file() and os.access(path, os.X_OK)]
    if not found:
        raise case.Failed(f"build/release holds no {name}: build first")
    return found[0]


def _toml(sections):
    lines = []
    for section, keys in sections.items():
        lines.append(f"[{section}]")
        for key, value in keys.items():
            if value is None:
                continue
            if isinstance(value, bool):
                text = "true" if value else "false"
            elif isinstance(value, (list, tuple)):
                text = "[" + ", ".join(f'"{item}"' for item in value) + "]"
            else:
                text = str(value) if isinstance(value, int) else f'"{value}"'
            lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"


class Holder:
    """A turnpike-holder; a Turnpiked that is given it finds its calls again after a death."""

    def __init__(self, scratch, *options, folder=None):
        self.path = (folder or scratch.folder) / "holder.sock"
        with open(self.path.with_name("holder.log"), "ab") as log:
            self._process = scratch.spawn(executable("turnpike-holder"), "--socket", self.path,
                                          *map(str, options), stdout=log, stderr=log)
        case.eventually(self.path.exists, "the holder listens")

    @property
    def pid(self):
        return self._process.pid


class Turnpiked:
    """Started on construction and serving afterwards. Stopped, and its end judged, at the
    scratch's end: a crash or an unasked exit fails the case.

    `sections` overrides keys: {"media": {"sessions_max": 10}}; None asks for the default.
    `wrapper`: words before the command. `files_max`: its limit of open files. `log`: the path
    that its output goes to.
    """

    def __init__(self, scratch, sections=None, wrapper=(), files_max=0, log=None, holder=None,
                 start=True):
        self.folder = scratch.folder
        self.log_path = pathlib.Path(log or scratch.folder / "turnpiked.log")
        self.ng_path = scratch.folder / "ng.sock"
        self.api_path = scratch.folder / "api.sock"
        self.config_path = scratch.folder / "turnpike.toml"
        self._scratch, self._wrapper, self._files_max = scratch, wrapper, files_max
        merged = {
            "node": {"drain_timeout_seconds": 0},
            "interface.outside": {"addresses": ["198.51.100.1", "2001:db8:51::1"],
                                  "srtp": "optional"},
            "interface.inside": {"addresses": ["10.20.0.1", "fd00:20::1"]},
            "ng": {"unix": self.ng_path, "udp": "127.0.0.1:2223"},
            "api": {"unix": self.api_path},
        }
        if holder:
            merged["holder"] = {"unix": holder.path}
        for section, keys in (sections or {}).items():
            merged.setdefault(section, {}).update(keys)
        self.config_path.write_text(_toml(merged))
        self.process = None
        self.expects_end = False
        self.ended_as = 0  # exit code that the case asks for
        if start:
            self.start()
        scratch.on_exit(self._finish)

    def start(self):
        def limits():
            if self._files_max:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self._files_max, self._files_max))
            # As a careless host would have it: that no core is left is the daemon's own doing.
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
        self.expects_end = False
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self._wrapper, str(executable()), "--config", str(self.config_path)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=limits, cwd=self.folder)
        self.ng = ng.Ng.unix(self.ng_path)
        case.eventually(self._serves, lambda: f"turnpiked serves: {self.log_tail()}",
                        READY_SECONDS)

    def _serves(self):
        if self.process.poll() is not None:
            raise case.Failed(
                f"turnpiked ended at start with {self.process.returncode}: {self.log_tail()}")
        try:
            return self.ng.ping()
        except OSError:
            return False

    @property
    def pid(self):
        """Of the daemon itself (a wrapper must exec it)."""
        return self.process.pid

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """kill -9, as a crash or the kernel's out-of-memory killer would."""
        self.expects_end = True
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout=15.0):
        """SIGTERM, and its exit code."""
        self.expects_end = True
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def _finish(self):
        if self.process is None:
            return
        ended = self.process.poll()
        if ended is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                ended = self.process.wait(10)
            except subprocess.TimeoutExpired:
                case.end_group(self.process)
                print(self.log_text()[-4000:])
                raise case.Failed("turnpiked did not end within 10 s of SIGTERM") from None
        elif not self.expects_end:
            print(self.log_text()[-4000:])
            raise case.Failed(f"turnpiked ended on its own with {ended}: {self.log_tail()}")
        if ended not in (self.ended_as, -signal.SIGKILL):
            print(self.log_text()[-4000:])
            raise case.Failed(f"turnpiked ended with {ended}: {self.log_tail()}")

    def log_text(self):
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""

    def log_tail(self, lines=6):
        return " | ".join(self.log_text().splitlines()[-lines:]) or "(no output)"

    def api(self, path):
        """What the API answers on its unix socket, as text."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(5)
            link.connect(str(self.api_path))
            link.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
                         "Connection: close\r\n\r\n".encode())
            answer = b""
            while chunk := link.recv(65536):
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        case.expect(b" 200 " in head.split(b"\r\n")[0], f"{path}: {head[:60]!r}")
        return body.decode()

    # -- figures ---------------------------------------------------------------------------------

    def metrics(self):
        """{(name, frozenset of label pairs): value} of /metrics."""
        text = self.metrics_text()
        found = {}
        for name, labels, value in re.findall(r"(?m)^(\w+)(?:\{([^}]*)\})? (\S+)$", text):
            pairs = frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))
            found[name, pairs] = float(value)
        return found

    def metrics_text(self):
        with urllib.request.urlopen("http://127.0.0.1:9464/metrics", timeout=5) as answer:
            return answer.read().decode()

    def total(self, name, **labels):
        """Sum of a metric over all series that carry these labels; there must be one."""
        wanted = set(labels.items())
        found = [value for (metric, pairs), value in self.metrics().items()
                 if metric == name and wanted <= pairs]
        case.expect(found, f"/metrics has no {name} with {labels}")
        return sum(found)

    @staticmethod
    def now():
        return time.monotonic()

    def sessions(self):
        return int(self.total("turnpike_relay_sessions"))

    def drops(self):
        """Packets that went nowhere, by reason, without the reasons that did not occur."""
        found = {}
        metrics = self.metrics()
        case.expect(any(name == "turnpike_relay_packets_dropped_total" for name, _ in metrics),
                    "/metrics counts no drops")
        for (name, pairs), value in metrics.items():
            if name == "turnpike_relay_packets_dropped_total" and value:
                reason = dict(pairs)["reason"]
                found[reason] = found.get(reason, 0) + int(value)
        return found

    def dropped(self):
        return sum(self.drops().values())

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))
