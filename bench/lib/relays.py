"""The relays that are measured: how each is started and ended.

Hides: command lines, configuration, waiting until NG answers. Both get one core, the same port
range, the same addresses, NG over UDP on the same port, and logs of the worst only: a line for
each packet that an overloaded relay discards would be measured too.
"""

import contextlib
import functools
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

from . import ROOT, network

sys.path.insert(0, str(ROOT / "deploy" / "lib"))
import netns  # noqa: E402  (found through the line above)

NG_PORT = 2223
PORT_MIN, PORT_MAX = 36000, 59999
DESCRIPTORS = 100000
READY_SECONDS = 20


class RelayError(RuntimeError):
    """A relay could not be started or ended on its own; the text says why."""


def favour(pid):
    """Lets the process run before others of the machine, where that is permitted. For one that
    never sleeps: the scheduler would take real-time priority away from it again and again."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, -20)
    with contextlib.suppress(OSError), open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as f:
        f.write("-20")


def _before_exec(real_time):
    """In the relay's process: descriptors for all calls, and no waiting behind other work."""
    if real_time:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (DESCRIPTORS, min(DESCRIPTORS, hard)):  # not every root may raise the limit
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
            return


class Relay:
    """One kind of relay. `command(folder)` gives its command line and may write files there."""

    name = ""
    # Its threads run before all other work of the machine, and before one another as they come.
    real_time = True
    # Where it is asked whether it serves, what, and what its answer holds.
    ready_at = ("127.0.0.1", NG_PORT)
    ready_question = b"ready d7:command4:pinge"
    ready_answer = b"pong"

    def version(self):
        raise NotImplementedError

    def command(self, folder):
        raise NotImplementedError

    @contextlib.contextmanager
    def running(self, space, folder, core):
        """The process while it serves in the namespace `space`, bound to `core`."""
        with self.process(space, folder, core, self.command(folder), self.name) as process:
            self._wait_ready(space, process, folder / f"{self.name}.log")
            yield process

    @contextlib.contextmanager
    def process(self, space, folder, core, command, name):
        """A process with this command line, perhaps not serving yet; its end is judged."""
        log_path = folder / f"{name}.log"
        with open(log_path, "ab") as log:
            process = subprocess.Popen(
                space.command("taskset", "-c", core, *command),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=functools.partial(_before_exec, self.real_time))
        try:
            yield process
            if process.poll() is not None:
                raise RelayError(f"{name} ended on its own: {_tail(log_path)}")
        finally:
            _end(process)

    def _wait_ready(self, space, process, log_path):
        deadline = time.monotonic() + READY_SECONDS
        with netns.inside(space.name):
            door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with door:
            door.connect(self.ready_at)
            door.settimeout(0.1)
            while time.monotonic() < deadline:
                if process.poll() is not None:
                    raise RelayError(f"{self.name} did not start: {_tail(log_path)}")
                try:
                    door.send(self.ready_question)
                    if self.ready_answer in door.recv(4096):
                        return
                except ConnectionRefusedError:
                    time.sleep(0.05)  # not listening yet; the deadline bounds this
                except TimeoutError:
                    pass
        raise RelayError(f"{self.name} does not answer within {READY_SECONDS} s: {_tail(log_path)}")


def _tail(path):
    return " | ".join(path.read_text("utf-8", "replace").splitlines()[-5:]) or "(no output)"


def _end(process):
    """Two signals: the second ends the wait for calls, should any be left."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Turnpike(Relay):
    name = "turnpike"
    media_ports = (PORT_MIN, PORT_MAX)

    def __init__(self, build, media=()):
        self.executable = build / "control" / "turnpiked"
        self.media = media  # lines for [media]

    def version(self):
        return subprocess.run([self.executable, "--version"], check=True, capture_output=True,
                              text=True).stdout.split()[-1]

    def command(self, folder):
        config = folder / "turnpike.toml"
        config.write_text(
            f'[interface.outside]\naddresses = ["{network.RELAY[0]}"]\nsrtp = "optional"\n'
            f'[interface.inside]\naddresses = ["{network.RELAY[1]}"]\n'
            f"[media]\nport_min = {self.media_ports[0]}\nport_max = {self.media_ports[1]}\n"
            + "".join(f"{line}\n" for line in self.media) +
            f'[ng]\nunix = ""\nudp = "127.0.0.1:{NG_PORT}"\n'
            '[api]\nunix = ""\nmetrics = ""\n[log]\nlevel = "error"\n')
        return [self.executable, "--config", config]


class Rtpengine(Relay):
    name = "rtpengine"

    def __init__(self, threads):
        self.executable = shutil.which("rtpengine")
        self.threads = threads

    def version(self):
        done = subprocess.run([self.executable, "--version"], check=True, capture_output=True,
                              text=True)
        return (done.stdout + done.stderr).split()[-1]

    def command(self, folder):
        del folder
        return [self.executable, "--config-file=none", "--table=-1", "--foreground",
                "--log-stderr", "--log-level=2", f"--num-threads={self.threads}",
                f"--interface=outside/{network.RELAY[0]}",
                f"--interface=inside/{network.RELAY[1]}",
                f"--listen-ng=127.0.0.1:{NG_PORT}",
                f"--port-min={PORT_MIN}", f"--port-max={PORT_MAX}"]
