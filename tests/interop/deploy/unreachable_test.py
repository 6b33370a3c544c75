"""Security M12: from outside, free and allocated ports of the media range look alike."""

import os
import pathlib
import socket
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(pathlib.Path(__file__).parent), str(ROOT / "deploy" / "lib")]

import netns  # noqa: E402
import report  # noqa: E402

FIRST, LAST = 36000, 59999
IPV4_OPTION_NOPS = b"\x01\x01\x01\x01"
IPV6_PAD_OPTION = b"\x11\x00\x01\x04\0\0\0\0"  # destination options that end before UDP


class PortUnreachable(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.outside = [
            netns.Netns("tp-m12-v4", "tpm12v4", "203.0.113.1/30", "203.0.113.2/30").create(),
            netns.Netns("tp-m12-v6", "tpm12v6", "2001:db8:12::1/64", "2001:db8:12::2/64").create(),
        ]

    @classmethod
    def tearDownClass(cls):
        for one in cls.outside:
            one.remove()

    def setUp(self):
        rules = str(ROOT / "deploy" / "nftables" / "turnpike.nft")
        subprocess.run(["nft", "-D", f"media_ports={FIRST}-{LAST}", "-f", rules], check=True)
        self.addCleanup(subprocess.run, ["nft", "delete", "table", "inet", "turnpike"], check=True)

    def answer(self, client, port, options=b""):
        """What a client that probes a port sees: "refused" (ICMP) or "silence"."""
        v6 = ":" in client.host_address
        with netns.inside(client.name):
            probe = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
        with probe:
            if options and v6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, options)
            elif options:
                probe.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, options)
            probe.connect((client.host_address, port))
            probe.settimeout(0.3)  # the longest that an answer over a veth can take
            try:
                probe.send(b"\x80 anyone there?")
                probe.recv(1)
            except ConnectionRefusedError:
                return "refused"
            except TimeoutError:
                return "silence"
        return "data"

    def test_M12_free_port_is_as_silent_as_an_allocated_one(self):
        for client in self.outside:
            family = socket.AF_INET6 if ":" in client.host_address else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as allocated:
                allocated.bind((client.host_address, 40000))
                self.assertEqual(self.answer(client, 40000), "silence")
            for port in (FIRST, 40000, LAST):
                self.assertEqual(self.answer(client, port), "silence", (client.name, port))

    def test_M12_headers_with_options_show_no_difference(self):
        self.assertEqual(self.answer(self.outside[0], 40000, IPV4_OPTION_NOPS), "silence")
        self.assertEqual(self.answer(self.outside[1], 40000, IPV6_PAD_OPTION), "silence")

    def test_ports_outside_the_range_answer_as_the_kernel_does(self):
        for client in self.outside:
            for port in (FIRST - 1, LAST + 1):
                self.assertEqual(self.answer(client, port), "refused", (client.name, port))

    def test_without_the_rules_a_free_port_answers(self):
        subprocess.run(["nft", "flush", "table", "inet", "turnpike"], check=True)
        for client in self.outside:
            self.assertEqual(self.answer(client, 40000), "refused", client.name)
        self.assertEqual(self.answer(self.outside[0], 40002, IPV4_OPTION_NOPS), "refused")
        self.assertEqual(self.answer(self.outside[1], 40002, IPV6_PAD_OPTION), "refused")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP PortUnreachable needs root for network namespaces")
        sys.exit(0)
    report.main()
