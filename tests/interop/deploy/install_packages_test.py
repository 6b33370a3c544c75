"""Installing packages touches nothing but packages: services stay off, policy-rc.d comes and goes.

apt-get, dpkg-query and systemctl are small stand-ins that this test writes; the folders that the
script changes are overlays of the real ones in a mount namespace of the test's own.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(pathlib.Path(__file__).parent)]

import report  # noqa: E402

SCRIPT = ROOT / "deploy" / "lib" / "install_packages"
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")
UNITS = pathlib.Path("/etc/systemd/system")

STAND_INS = {
    # installed packages: lines of $STATE/installed; files of package P: lines of $STATE/files.P
    "dpkg-query": """
        case $1 in
          -W) sed 's/^/installed /' "$STATE/installed"; echo 'config-files removed-one' ;;
          -L) shift; for p in "$@"; do cat "$STATE/files.$p" 2>/dev/null; done ;;
        esac""",
    "apt-get": """
        echo "$*" >>"$STATE/apt"
        case " $* " in *' install '*) ;; *) exit 0 ;; esac
        sh /usr/sbin/policy-rc.d >/dev/null 2>&1; echo "policy says $?" >>"$STATE/apt"
        for p in "$@"; do case $p in fresh-*) echo "$p" >>"$STATE/installed" ;; esac; done
        mkdir -p /etc/systemd/system/multi-user.target.wants
        ln -sf /lib/systemd/system/fresh.service /etc/systemd/system/multi-user.target.wants/
        touch "$STATE/running"
        [ ! -e "$STATE/hang" ] || sleep 60
        [ ! -e "$STATE/break" ] || exit 100""",
    "systemctl": 'echo "$*" >>"$STATE/systemctl"; [ "$1" != is-enabled ] || echo enabled',
    "update-rc.d": 'echo "$*" >>"$STATE/update-rc.d"',
}


class InstallPackages(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = pathlib.Path(folder.name)
        (self.state / "bin").mkdir()
        for name, text in STAND_INS.items():
            program = self.state / "bin" / name
            program.write_text("#!/bin/bash\n" + text + "\n")
            program.chmod(0o755)
        (self.state / "installed").write_text("there-one\nthere-two\n")
        (self.state / "files.fresh-daemon").write_text(
            "/lib/systemd/system/fresh.service\n/etc/init.d/fresh\n/lib/systemd/system/off.timer\n")
        (self.state / "list").write_text("# a list\nthere-one fresh-daemon  # two\n\nthere-two\n")
        for place in (POLICY.parent, UNITS):
            self.overlay(place)
        POLICY.unlink(missing_ok=True)

    def overlay(self, place):
        layers = self.state / place.name
        layers.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", layers], check=True)
        self.addCleanup(subprocess.run, ["umount", layers], check=True)
        (layers / "upper").mkdir()
        (layers / "work").mkdir()
        options = f"lowerdir={place},upperdir={layers}/upper,workdir={layers}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", place], check=True)
        self.addCleanup(subprocess.run, ["umount", place], check=True)

    def environment(self):
        return {"PATH": f"{self.state}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "STATE": str(self.state)}

    def start(self):
        return subprocess.Popen([SCRIPT, self.state / "list"], env=self.environment(), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                start_new_session=True)

    def run_script(self):
        process = self.start()
        output, _ = process.communicate(timeout=30)
        return process.returncode, output

    def start_and_hang(self):
        (self.state / "hang").touch()
        process = self.start()
        deadline = time.monotonic() + 20
        while not (self.state / "running").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertTrue((self.state / "running").exists())
        (self.state / "hang").unlink()
        return process

    def read(self, name):
        path = self.state / name
        return path.read_text() if path.exists() else ""

    def test_nothing_missing_runs_no_apt(self):
        (self.state / "list").write_text("there-one there-two\n")
        self.assertEqual(self.run_script(), (0, ""))
        self.assertEqual(self.read("apt"), "")

    def test_missing_packages_are_named(self):
        done = subprocess.run([SCRIPT, "--missing", self.state / "list"], env=self.environment(),
                              capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "fresh-daemon\n")
        self.assertEqual(self.read("apt"), "")

    def test_a_package_for_a_command_is_missing_where_the_command_is(self):
        (self.state / "list").write_text("fresh-one?bash fresh-two?no-such-command there-one?no\n")
        done = subprocess.run([SCRIPT, "--missing", self.state / "list"], env=self.environment(),
                              capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "fresh-two\n")

    def test_missing_package_is_installed_with_services_held_back(self):
        code, output = self.run_script()
        self.assertEqual(code, 0, output)
        self.assertIn("install -y --no-install-recommends fresh-daemon\n", self.read("apt"))
        self.assertNotIn("there-one", self.read("apt"))
        self.assertIn("policy says 101", self.read("apt"))
        self.assertFalse(POLICY.exists())

    def test_a_package_that_was_removed_but_configured_counts_as_missing(self):
        (self.state / "list").write_text("removed-one\n")
        self.run_script()
        self.assertIn("removed-one", self.read("apt"))

    def test_only_new_services_are_disabled(self):
        (self.state / "files.there-one").write_text("/lib/systemd/system/there.service\n")
        wants = UNITS / "multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "there.service").symlink_to("/lib/systemd/system/there.service")
        _, output = self.run_script()
        self.assertIn("not enabled: fresh.service", output)
        self.assertIn("disable fresh.service", self.read("systemctl"))
        self.assertNotIn("there.service", self.read("systemctl"))
        self.assertNotIn("off.timer", self.read("systemctl"))
        self.assertIn("fresh disable", self.read("update-rc.d"))

    def test_failure_is_reported_and_cleaned_up(self):
        (self.state / "break").touch()
        code, _ = self.run_script()
        self.assertEqual(code, 1)
        self.assertFalse(POLICY.exists())

    def test_policy_that_was_there_is_put_back(self):
        POLICY.write_text("#!/bin/sh\nexit 0 # the host's own\n")
        self.run_script()
        self.assertIn("policy says 101", self.read("apt"))
        self.assertIn("the host's own", POLICY.read_text())

    def test_policy_that_was_a_link_is_put_back_as_a_link(self):
        POLICY.symlink_to("/etc/our-policy")
        self.run_script()
        self.assertEqual(os.readlink(POLICY), "/etc/our-policy")

    def test_signal_puts_it_back(self):
        POLICY.write_text("#!/bin/sh\nexit 0 # the host's own\n")
        process = self.start_and_hang()
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)
        self.assertIn("the host's own", POLICY.read_text())

    def test_kill_is_repaired_by_the_next_run(self):
        POLICY.write_text("#!/bin/sh\nexit 0 # the host's own\n")
        process = self.start_and_hang()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
        self.assertNotIn("the host's own", POLICY.read_text())
        self.assertEqual(self.run_script(), (0, ""))  # nothing is missing any more
        self.assertIn("the host's own", POLICY.read_text())


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP InstallPackages needs root for mounts of its own")
        sys.exit(0)
    if os.environ.get("TURNPIKE_PRIVATE_MOUNTS") != "1":
        os.environ["TURNPIKE_PRIVATE_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    report.main()
