"""The systemd units: what is installed is complete, valid to systemd, and confined."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(pathlib.Path(__file__).parent)]

import report  # noqa: E402

PROGRAMS = ("control/turnpiked", "control/ctl/turnpikectl", "relay/holder/turnpike-holder")
HOST_PROGRAMS = ("/usr/sbin/kamailio", "/usr/sbin/nft", "/bin/sh")
SERVICES = ("turnpiked", "turnpike-holder", "turnpike-sip", "turnpike-firewall")
EXPOSURE_MAX = {"turnpiked": 1.7, "turnpike-holder": 0.5, "turnpike-sip": 1.7,
                "turnpike-firewall": 4.0}


class Units(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        source = cls.folder / "source"
        for name in ("deploy", "docs"):
            shutil.copytree(ROOT / name, source / name)
        for program in PROGRAMS:
            cls.program(source / "build" / "deploy" / program)
        cls.root = cls.folder / "root"
        for program in HOST_PROGRAMS:
            cls.program(cls.root / program.lstrip("/"))
        for unit in ("sysinit", "basic", "shutdown", "network-online", "multi-user"):
            path = cls.root / "usr/lib/systemd/system" / f"{unit}.target"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("[Unit]\nDescription=stand-in\n")
        cls.installed = subprocess.run(
            [source / "deploy/systemd/install", "--root", cls.root],
            capture_output=True, text=True, check=False)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @staticmethod
    def program(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)

    def systemd_analyze(self, *arguments):
        done = subprocess.run(["systemd-analyze", f"--root={self.root}", *arguments],
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_install_puts_everything_in_place(self):
        self.assertEqual(self.installed.returncode, 0, self.installed.stderr)
        for path in ("usr/local/sbin/turnpiked", "usr/local/bin/turnpikectl",
                     "usr/local/libexec/turnpike/turnpike-holder",
                     "usr/local/share/man/man1/turnpikectl.1",
                     "usr/local/share/zsh/site-functions/_turnpiked",
                     "usr/local/share/turnpike/turnpike.nft", "etc/turnpike/turnpike.toml",
                     "etc/sysctl.d/90-turnpike.conf", "usr/lib/sysusers.d/turnpike.conf"):
            self.assertTrue((self.root / path).is_file(), path)

    def test_install_keeps_a_configuration_that_is_there(self):
        target = self.root / "etc/turnpike/turnpike.toml"
        before = target.read_text()
        target.write_text("# the operator's\n")
        subprocess.run([self.folder / "source/deploy/systemd/install", "--root", self.root],
                       capture_output=True, check=True)
        self.assertEqual(target.read_text(), "# the operator's\n")
        target.write_text(before)

    def test_units_are_valid(self):
        units = [f"{name}.service" for name in SERVICES] + ["turnpike.target"]
        code, output = self.systemd_analyze("verify", "--man=no", *units)
        self.assertEqual((code, output.strip()), (0, ""))

    def test_units_are_confined(self):
        for name in SERVICES:
            threshold = str(int(EXPOSURE_MAX[name] * 10))
            code, output = self.systemd_analyze(
                "security", "--offline=yes", f"--threshold={threshold}", f"{name}.service")
            self.assertEqual(code, 0, f"{name}: {output[-400:]}")

    def test_core_dumps_are_off_and_descriptors_suffice(self):
        for name in ("turnpiked", "turnpike-holder"):
            text = (self.root / f"etc/systemd/system/{name}.service").read_text()
            self.assertIn("LimitCORE=0\n", text)
            self.assertIn("LimitNOFILE=1048576\n", text)


if __name__ == "__main__":
    report.main()
