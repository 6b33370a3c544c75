"""deploy/pair-demo as a person uses it: killed, broken in the middle, its terminal closed."""
# time limit: 240 s

import os
import pathlib
import signal
import subprocess

from lib.case import ROOT, case, eventually, expect, note, run

DEMO = ROOT / "deploy" / "pair-demo"
FOLDER = pathlib.Path("/run/turnpike-pair-demo")


class Demo:
    """A run of it. What it says lands in `log`."""

    def __init__(self, scratch, *words):
        self.log = scratch.folder / f"demo-{len(list(scratch.folder.iterdir()))}.log"
        with open(self.log, "wb") as log:
            self.process = scratch.spawn("python3", DEMO, *words, stdout=log, stderr=log)

    def says(self):
        return self.log.read_text()

    def wait_says(self, text):
        eventually(lambda: text in self.says() or self.process.poll() is not None,
                   lambda: f"{text!r}: {self.says()}", 60)
        expect(text in self.says(), f"no {text!r}: {self.says()}")

    def code(self):
        return self.process.wait(60)


def _processes():
    """Whatever runs with files of the demo: {command line: process}."""
    found = {}
    for place in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(FOLDER) in line:
            found[line] = int(place.name)
    return found


def _turnpiked_of(role):
    return next((pid for line, pid in _processes().items()
                 if "turnpiked " in line and f"{FOLDER}/{role}/" in line), None)


def _namespaces():
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True,
                          check=True).stdout.split()


def _expect_nothing_left():
    eventually(lambda: not _processes(), lambda: f"no process is left: {_processes()}")
    expect(not [name for name in _namespaces() if name.startswith("pair-")], f"{_namespaces()}")


@case
def leaves_nothing_and_says_what_broke(scratch):
    # Killed, it cannot take anything down; its programs end all the same, …
    demo = Demo(scratch)
    demo.wait_says("edge and core are up")
    os.kill(demo.process.pid, signal.SIGKILL)
    demo.process.wait()
    eventually(lambda: not _processes(), lambda: f"its programs end: {_processes()}")
    expect("pair-core" in _namespaces(), "nobody could have removed the namespaces")
    # … even what does not end goes at the next start.
    stayer = subprocess.Popen(["ip", "netns", "exec", "pair-core", "sleep", "600"],
                              start_new_session=True)
    scratch.on_exit(stayer.kill)
    demo = Demo(scratch, "--once")
    eventually(lambda: _turnpiked_of("core"), demo.says, 30)
    expect(stayer.wait(5) == -signal.SIGKILL, "a process of an earlier run was left")
    # A node that is lost in the middle is named, in one line.
    eventually(lambda: (FOLDER / "phone-inside").exists(), demo.says, 30)
    os.kill(_turnpiked_of("core"), signal.SIGKILL)
    expect(demo.code() == 1, f"{demo.says()}")
    note(demo.says().strip())
    expect(demo.says().count("\n") == 1 and demo.says().startswith(
        "failed: turnpiked of the core has ended (by signal SIGKILL); "), demo.says())
    expect(f"files and logs: {FOLDER}" in demo.says() and (FOLDER / "core").is_dir(), "no logs")
    _expect_nothing_left()
    # The terminal is closed, twice.
    demo = Demo(scratch)
    demo.wait_says("Ctrl-C takes it down.")
    kamailio = next(pid for line, pid in _processes().items() if "kamailio.cfg" in line
                    and f"{FOLDER}/edge/" in line)
    for place in ("outside→inside", "inside→outside", "outside→outside"):
        expect(f"\n  {place} " in demo.says(), demo.says())
    os.kill(kamailio, signal.SIGKILL)
    demo.wait_says("kamailio of the edge has ended")
    demo.process.send_signal(signal.SIGHUP)
    demo.process.send_signal(signal.SIGHUP)
    expect(demo.code() == 128 + signal.SIGHUP, demo.says())
    _expect_nothing_left()
    expect(not FOLDER.exists(), "its files are left")


run()
