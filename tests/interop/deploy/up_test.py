"""deploy/up and deploy/down as a user meets them: from a clean copy to two judged calls.

Every case runs on a "host" of its own making: network namespace with an address and a default
route, and overlays over /etc, /run, /var/lib and /var/log, so that the real host never changes.
"""

# time limit: 1500 s
import contextlib
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "interop"))

from lib import case  # noqa: E402
from lib.case import expect  # noqa: E402

ADDRESS, ADDRESS6 = "192.0.2.10", "2001:db8:9::10"
OVERLAYS = ("/etc", "/run", "/var/lib", "/var/log", "/usr/sbin", "/usr/local")
PROGRAMS = ("turnpiked", "turnpike-holder", "kamailio", "baresip")

_copy = None  # the clean copy, made and built once


def clean_copy():
    global _copy
    if _copy is None:
        folder = tempfile.mkdtemp(prefix="tp-clone-")
        os.chmod(folder, 0o755)
        _copy = pathlib.Path(folder) / "turnpike"
        made_here = {str(ROOT): {"build", "run", ".git"}}
        shutil.copytree(ROOT, _copy, symlinks=True,
                        ignore=lambda folder, _: made_here.get(folder, {"__pycache__"}))
    return _copy


def run_ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def host(scratch, ipv6_only=False):
    """Gives the case its host."""
    layers = scratch.folder / "layers"
    layers.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", layers], check=True)
    scratch.on_exit(subprocess.run, ["umount", "-l", layers])
    for number, place in enumerate(OVERLAYS):
        upper, work = layers / f"upper{number}", layers / f"work{number}"
        upper.mkdir()
        work.mkdir()
        subprocess.run(
            ["mount", "-t", "overlay", "-o", f"lowerdir={place},upperdir={upper},workdir={work}",
             "overlay", place], check=True)
        scratch.on_exit(subprocess.run, ["umount", "-l", place])
    for left in ("turnpike", "turnpike-up"):
        shutil.rmtree(f"/run/{left}", ignore_errors=True)
    for family in ("-4", "-6"):  # the test's own surroundings may have one
        run_ip(family, "route", "flush", "default")
    run_ip("link", "add", "eth0", "type", "veth", "peer", "name", "far0")
    scratch.on_exit(run_ip, "link", "del", "eth0")
    run_ip("link", "set", "eth0", "up")
    run_ip("link", "set", "far0", "up")
    if ipv6_only:
        run_ip("-6", "addr", "add", f"{ADDRESS6}/64", "dev", "eth0", "nodad")
        run_ip("-6", "route", "add", "default", "via", "2001:db8:9::1")
    else:
        run_ip("addr", "add", f"{ADDRESS}/24", "dev", "eth0")
        run_ip("route", "add", "default", "via", "192.0.2.1")
    # Whatever a failing case leaves running.
    scratch.on_exit(down, "--now")


def up(*arguments, prefix=(), timeout=900):
    command = [*prefix, clean_copy() / "deploy" / "up", *arguments]
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=timeout, check=False)
    print(done.stdout, flush=True)
    return done.returncode, done.stdout


def up_at_a_terminal(*arguments):
    child, terminal = pty.fork()
    if child == 0:
        # A shell cannot take back what its parents ignore, and they may: background jobs do.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv("/bin/bash", ["bash", str(clean_copy() / "deploy" / "up"), *arguments])
    return child, terminal


def down(*arguments):
    done = subprocess.run([clean_copy() / "deploy" / "down", *arguments], text=True,
                          capture_output=True, timeout=120, check=False)
    expect(done.returncode == 0, f"down: {done.stdout} {done.stderr}")
    return done.stdout


def processes():
    """(name, user id) of every process of ours."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name = (folder / "exe").resolve().name
            status = (folder / "status").read_text()
            if name in PROGRAMS:
                found.append((name, int(re.search(r"Uid:\s+(\d+)", status).group(1))))
    return sorted(set(found))


# Images of containers bring one of their own.
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")
POLICY_BEFORE = POLICY.read_text() if POLICY.exists() else None


def expect_policy_as_before():
    now = POLICY.read_text() if POLICY.exists() else None
    expect(now == POLICY_BEFORE, f"{POLICY} was {POLICY_BEFORE!r} and is {now!r}")


def expect_nothing_left():
    expect(not processes(), f"processes are left: {processes()}")
    names = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    expect("turnpike" not in names, f"namespaces are left: {names}")
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    expect(not re.search(r"tp-(out|in)side", links), f"links are left: {links}")
    rules = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    expect("turnpike" not in rules.stdout, f"packet filter rules are left: {rules.stdout}")
    for place in ("/run/turnpike", "/run/turnpike-up", "/run/turnpike-phone"):
        expect(not os.path.exists(place), f"{place} is left")
    expect_policy_as_before()
    expect(reserved_ports() == "", f"ports are left reserved: {reserved_ports()}")


def reserved_ports():
    return pathlib.Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text().strip()


def expect_judged_calls(text, address=ADDRESS):
    address = re.escape(address)
    for line in (r"certificate +valid for edge\.test, TLSv1\.[23]",
                 rf"registered +sip:test@edge\.test over TLS at {address}:5061",
                 r"call up +sip:1000@edge\.test answered",
                 r"call up +sip:test@edge\.test answered"):
        expect(len(re.findall(line, text)) == 1, f"not said exactly once: {line}")
    for line in (rf"media outside +SRTP AE\S+ with Turnpike at {address}:\d+",
                 rf"media inside +plain RTP with Turnpike at {address}:\d+",
                 r"packets +\d+ inwards \(0 lost\), \d+ outwards \(0 lost\)",
                 r"heard inside +(99\d|100\d) Hz .*recognised",
                 r"heard outside +(43\d|44\d) Hz .*recognised"):
        expect(len(re.findall(line, text)) == 2, f"not said for both calls: {line}")


def manual_page(name):
    """The path of the page that man would show; "" when there is none."""
    done = subprocess.run(["man", "-w", name], capture_output=True, text=True, check=False)
    path = done.stdout.strip()
    return os.path.realpath(path) if path else ""


def expect_texts():
    for name in ("turnpikectl", "turnpiked", "turnpike.toml"):
        expect(manual_page(name).startswith("/usr/local/share/man/"), f"no manual page {name}")
    script = "/usr/local/share/bash-completion/completions/turnpikectl"
    complete = subprocess.run(["bash", "-c", f". {script} && complete -p turnpikectl"],
                              capture_output=True, text=True, check=False)
    expect(complete.returncode == 0, f"completion does not load: {complete.stderr}")


@case.case
def clean_copy_to_two_judged_calls_and_back(scratch):
    host(scratch)
    code, text = up("--detach")
    expect(code == 0, f"exit code {code}")
    expect_judged_calls(text)
    users = dict(processes())
    expect(set(users) == set(PROGRAMS), f"these run: {users}")
    expect(all(users.values()), f"something runs as root: {users}")
    expect("36000-59999" in reserved_ports(), "media ports are not reserved")

    expect_texts()
    password = dict(line.split() for line in
                    pathlib.Path("/var/lib/turnpike/passwords").read_text().splitlines()
                    if not line.startswith("#"))["softphone"]
    expect(password not in text, "the password is shown")
    for log in pathlib.Path("/var/log/turnpike").glob("*"):
        expect(password not in log.read_text(errors="replace"), f"{log} holds the password")
        expect("inline:" not in log.read_text(errors="replace"), f"{log} holds a media key")

    code, text = up("--detach", timeout=60)
    expect(code == 0, f"second run: exit code {code}")
    expect("ok  all there" in text, "the second run installs packages")
    expect(not re.search(r"-  \d+ of \d+", text), "the second run builds")
    expect("turnpiked and kamailio run already" in text, "the second run starts processes")
    expect_judged_calls(text)

    expect("Stopped." in down(), "down does not say so")
    expect(not manual_page("turnpikectl"), "its manual page is left")
    expect_nothing_left()
    expect("Nothing was running." in down(), "a second down does not say so")


@case.case
def ctrl_c_stops_what_it_started(scratch):
    host(scratch)
    child, terminal = up_at_a_terminal("--no-call")
    text = read_until(terminal, r"up 0:00:\d\d  calls 0 ")
    expect({name for name, _ in processes()} == set(PROGRAMS), f"these run: {processes()}")
    os.write(terminal, b"\x03")
    text += read_until(terminal, None)
    _, status = os.waitpid(child, 0)
    expect("Stopping what was started" in text, f"it said: {text[-300:]}")
    expect(os.waitstatus_to_exitcode(status) == 0, f"exit code {status}")
    down()  # removes the record folder only
    expect_nothing_left()


def read_until(terminal, pattern):
    text, deadline = "", time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            try:
                data = os.read(terminal, 4096)
            except OSError:  # the other end is closed
                data = b""
            text += data.decode(errors="replace")
            if not data and pattern is None:
                return text
            expect(data or pattern is None, f"it ended: {text[-500:]}")
        if pattern and re.search(pattern, text):
            return text
    raise case.Failed(f"no {pattern}: {text[-500:]}")


@case.case
def second_up_leaves_what_ran_before(scratch):
    host(scratch)
    up("--detach", "--no-call")
    child, terminal = up_at_a_terminal("--no-call")
    read_until(terminal, r"up 0:00:\d\d  calls 0 ")
    os.kill(child, signal.SIGTERM)
    read_until(terminal, None)
    os.waitpid(child, 0)
    expect({name for name, _ in processes()} == set(PROGRAMS), f"these run: {processes()}")
    down()
    expect_nothing_left()


@case.case
def changed_configuration_is_taken_up(scratch):
    host(scratch)
    config = edited(scratch, 'trust_local_processes = false',
                    'trust_local_processes = false\ntls_port = 6061')
    up("--detach", "--no-call")
    code, text = up("--detach", "--no-call", "--config", config)
    expect(code == 0 and "has changed" in text, f"exit code {code}")
    with socket.create_connection((ADDRESS, 6061), 5):
        pass
    down()
    expect_nothing_left()


def edited(scratch, old, new):
    text = (ROOT / "deploy" / "turnpike.toml").read_text()
    expect(old in text, f"deploy/turnpike.toml has no {old}")
    path = scratch.folder / "turnpike.toml"
    path.write_text(text.replace(old, new))
    return path


def expect_refusal(arguments, what, todo, prefix=()):
    code, text = up(*arguments, prefix=prefix)
    expect(code == 1, f"exit code {code}")
    found = re.search(r"Failed: (.*)What to do: (.*)", text, re.DOTALL)
    expect(found, "it does not say what is wrong and what to do")
    expect(re.search(what, found.group(1), re.DOTALL), f"what is wrong: {found.group(1)}")
    expect(re.search(todo, found.group(2)), f"what to do: {found.group(2)}")


@case.case
def taken_port_is_named_with_its_owner(scratch):
    host(scratch)
    with socket.create_server((ADDRESS, 5061)):
        expect_refusal(("--no-call",),
                       rf"port 5061/tcp, wanted for SIP over TLS, is taken by python3\S* "
                       rf"\(process {os.getpid()}\)", "stop it, or choose another port")
    down()
    expect_nothing_left()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 5060))
        expect_refusal(("--no-call",), r"port 5060/udp, wanted for SIP inside, is taken by",
                       "stop it, or choose another port")


@case.case
def only_root_may(scratch):
    host(scratch)
    expect_refusal((), "needs root", "run it as root: sudo",
                   prefix=("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"))


@case.case
def other_systems_are_refused(scratch):
    host(scratch)
    os.unlink("/etc/os-release")
    pathlib.Path("/etc/os-release").write_text('ID=ubuntu\nVERSION_ID="24.04"\n')
    expect_refusal((), "this host is ubuntu 24.04", "Debian 12")


@case.case
def wrong_configuration_is_named_by_file_and_line(scratch):
    host(scratch)
    config = edited(scratch, "port_min = 36000", "port_min = 36001")
    expect_refusal(("--no-call", "--config", config), rf"{config}:\d+: media\.port_min is odd",
                   "correct")
    config.write_text("domains = [")
    expect_refusal(("--no-call", "--config", config), str(config), "correct")
    expect_refusal(("--no-call", "--config", "/nonexistent"), "/nonexistent cannot be read",
                   "existing")


@case.case
def missing_certificate_is_named(scratch):
    host(scratch)
    config = edited(scratch, "/var/lib/turnpike/pki/server.pem", "/etc/no-such-certificate.pem")
    expect_refusal(("--no-call", "--config", config), "/etc/no-such-certificate.pem",
                   "see to the files")
    down()
    expect_nothing_left()


@case.case
def missing_package_that_cannot_be_had(scratch):
    host(scratch)
    status = pathlib.Path("/var/lib/dpkg/status")
    status.write_text(status.read_text().replace("Package: baresip-core\n", "Package: gone\n", 1))
    apt = pathlib.Path("/etc/apt")
    for source in [apt / "sources.list", *apt.glob("*.d/*.sources"), *apt.glob("*.d/*.list")]:
        source.unlink(missing_ok=True)
    shutil.rmtree("/var/lib/apt/lists")
    expect_refusal(("--no-call",), "a package could not be installed", "package mirror")
    expect_policy_as_before()


@case.case
def call_that_fails_is_said_and_nothing_stays(scratch):
    """The phone of the inside cannot be reached: its port is taken inside the namespace."""
    host(scratch)
    config = edited(scratch, 'pattern = "1000"', 'pattern = "1000"')
    config.write_text(config.read_text().replace(
        'inside_networks = ["10.213.77.0/30"]', 'inside_networks = ["10.99.0.0/30"]'))
    expect_refusal(("--detach", "--config", config),
                   "the call to sip:test@edge.test did not come up", "logs")
    down()
    expect_nothing_left()


@case.case
def without_the_right_to_make_namespaces(scratch):
    host(scratch)
    code, text = up("--detach", prefix=(
        "setpriv", "--bounding-set=-net_admin,-sys_admin", "--inh-caps=-all"))
    expect(code == 0, f"exit code {code}")
    expect("no networks of their own for the phones" in text, "it does not say so")
    expect_judged_calls(text)
    down()
    expect_nothing_left()


@case.case
def host_with_ipv6_only(scratch):
    host(scratch, ipv6_only=True)
    code, text = up("--detach")
    expect(code == 0, f"exit code {code}")
    expect_judged_calls(text, f"[{ADDRESS6}]")
    down()
    expect_nothing_left()


@case.case
def purge_removes_state_and_account(scratch):
    host(scratch)
    up("--detach", "--no-call")
    down("--purge")
    for place in ("/var/lib/turnpike", "/var/log/turnpike"):
        expect(not os.path.exists(place), f"{place} is left")
    expect("turnpike:" not in pathlib.Path("/etc/passwd").read_text(), "the account is left")
    expect_nothing_left()


if __name__ == "__main__":
    try:
        case.run()
    finally:
        if _copy is not None:
            shutil.rmtree(_copy.parent, ignore_errors=True)
