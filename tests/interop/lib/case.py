"""Cases of an interop suite: registered with @case, run one after another, reported in lines.

Hides: re-execution inside namespaces of our own, clean-up, the report's form.
A case is a function of a Scratch: a folder and a stack on which it puts what must be undone.
    @case
    def two_programs_hear_each_other(scratch): …
    run()
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "deploy" / "lib"))

_cases = []


class Failed(AssertionError):
    """A case's expectation does not hold; the text says which."""


class Skipped(Exception):
    """A case cannot run here; the text says why. A failure unless expected-skips.txt lists it."""


class Scratch:
    """What one case owns. `folder` and all that was pushed go when it ends, however it ends."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self._stack = contextlib.ExitStack()

    def enter(self, context):
        return self._stack.enter_context(context)

    def on_exit(self, function, *arguments):
        self._stack.callback(function, *arguments)

    def spawn(self, *command, **options):
        """A process that is killed with everything in its group when the case ends."""
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(
            [str(word) for word in command], start_new_session=True, **options)
        self.on_exit(end_group, process)
        return process

    def close(self):
        self._stack.close()


def end_group(process):
    """Kills a process that leads its group, and the group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def case(function):
    _cases.append(function)
    return function


def expect(condition, what):
    if not condition:
        raise Failed(what)


def eventually(predicate, what, timeout=10.0, every=0.01):
    """Waits until predicate() is true, gives its value; fails with `what` after `timeout` s."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"not within {timeout:g} s: {what() if callable(what) else what}")
        time.sleep(every)


def note(text):
    """A figure or fact for the log, e.g. a measured pause."""
    print(f"     {text}", flush=True)


def _contain():
    """Runs this program again in namespaces of its own unless it is there already."""
    if os.environ.get("TURNPIKE_IN_CONTAINER") != "1":
        script = ROOT / "tests" / "support" / "contained.sh"
        os.execvp("bash", ["bash", str(script), sys.executable, *sys.argv])


def run():
    """Runs the registered cases (those named on the command line, or all) and exits."""
    _contain()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = sys.argv[1:]
    failures = 0
    for function in _cases:
        name = function.__name__
        if wanted and name not in wanted:
            continue
        print(f"---- {name}", flush=True)
        folder = tempfile.mkdtemp(prefix="tp-")
        scratch = Scratch(folder)
        begin = time.monotonic()
        result = "PASS"
        try:
            try:
                function(scratch)
            finally:
                scratch.close()
        except Skipped as reason:
            result = f"SKIP {name} {reason}"
        except BaseException as error:  # the next case still runs, except after an interrupt
            traceback.print_exc(file=sys.stdout)
            text = " ".join(str(error).split())[:300]
            result = f"FAIL {name} {type(error).__name__}: {text}"
            failures += 1
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                print(result, flush=True)
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        seconds = time.monotonic() - begin
        print(f"{result} {name} {seconds:.1f} s" if result == "PASS" else result, flush=True)
    sys.exit(1 if failures else 0)
