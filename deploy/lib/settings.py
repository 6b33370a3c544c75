#!/usr/bin/python3
"""What the scripts need to know of a configuration file.

    settings.py FILE                     shell assignments
    settings.py FILE --plan RECORDS NETS the plan of the test call (test_call.py), JSON
    settings.py FILE --without-networks  the file, changed so that the test phone of the inside
                                         lives on this host's own address

Hides: TOML, "auto". Not: validation; turnpiked --check does that. Keys that the file leaves out
have the defaults of docs/configuration.md.
"""

import json
import re
import shlex
import socket
import sys
import tomllib

TEST_PHONE = "test-phone"  # name of the [sip.servers.*] that deploy/up plays itself
TEST_USER, OWN_USER = "test", "softphone"
PORT_WITHOUT_NETWORKS = 5090


class SettingsError(RuntimeError):
    """The file does not say what deploy/up needs; the text says what is missing."""


def default_address() -> str:
    for family, far in ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((far, 9))  # sends nothing
                return probe.getsockname()[0]
            except OSError:
                continue
    raise SettingsError('this host has no default route for "auto": give addresses in the file')


def endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Settings:
    def __init__(self, path: str):
        with open(path, "rb") as file:
            try:
                self.file = tomllib.load(file)
            except tomllib.TOMLDecodeError as error:
                raise SettingsError(f"{path}: {error}") from error
        self.path = path
        self.sip = self.file.get("sip", {})
        if not self.sip.get("domains"):
            raise SettingsError(f"{path}: no domains in [sip]")
        self.domain = self.sip["domains"][0]
        self.outside = self._address("outside")
        self.inside = self._address("inside")

    def _address(self, name: str) -> str:
        addresses = self.file.get("interface", {}).get(name, {}).get("addresses", [])
        if not addresses:
            raise SettingsError(f"{self.path}: no addresses in [interface.{name}]")
        return default_address() if addresses[0] == "auto" else addresses[0]

    def media_ports(self) -> tuple[int, int]:
        media = self.file.get("media", {})
        return media.get("port_min", 36000), media.get("port_max", 59999)

    def metrics(self) -> tuple[str, str]:
        text = self.file.get("api", {}).get("metrics", "127.0.0.1:9464")
        host, _, port = text.rpartition(":")
        return host.strip("[]"), port

    def test_phone(self) -> tuple[str, str]:
        """HOST:PORT at which the phone of the inside is asked for, and its number."""
        uris = self.sip.get("servers", {}).get(TEST_PHONE, {}).get("uris", [])
        numbers = [route.get("pattern", "") for route in self.sip.get("route", {}).values()
                   if route.get("servers") == TEST_PHONE]
        numbers = [number for number in numbers if number.isdigit()]
        if not uris or not numbers:
            return "", ""
        return re.sub(r"^sip:|;.*$", "", uris[0]), numbers[0]

    def assignments(self) -> dict:
        first, last = self.media_ports()
        metrics_address, metrics_port = self.metrics()
        phone, number = self.test_phone()
        return {
            "domain": self.domain,
            "domains": " ".join(self.sip["domains"]),
            "outside_address": self.outside,
            "inside_address": self.inside,
            "proxy": endpoint(self.outside, self.sip.get("tls_port", 5061)),
            "media_ports": f"{first}-{last}",
            "tls_port": self.sip.get("tls_port", 5061),
            "inside_port": self.sip.get("inside_port", 5060),
            "metrics_address": metrics_address,
            "metrics_port": metrics_port,
            "api_socket": self.file.get("api", {}).get("unix", "/run/turnpike/api.sock"),
            "holder_socket": self.file.get("holder", {}).get("unix", ""),
            "certificate_file": self.sip.get("certificate_file", ""),
            "trust_file": self.sip.get("trust_file", ""),
            "users_file": self.sip.get("users_file", ""),
            "digest": self.sip.get("digest", "md5"),
            "sidecar": self.sip.get("directory", "/var/lib/turnpike/sidecar"),
            "phone": phone,
            "phone_number": number,
            "own_user": OWN_USER,
        }

    def plan(self, records: str, networks: bool) -> dict:
        phone, number = self.test_phone()
        first, last = self.media_ports()
        return {
            "domain": self.domain,
            "user": TEST_USER,
            "password_file": f"{records}/test.password",
            "ca_file": self.assignments()["trust_file"],
            "outside_proxy": endpoint(self.outside, self.sip.get("tls_port", 5061)),
            "inside_proxy": endpoint(self.inside, self.sip.get("inside_port", 5060)),
            "inside_number": number,
            "inside_phone": phone,
            "outside_address": "198.51.100.194" if networks else self.outside,
            "outside_namespace": "turnpike-outside" if networks else "",
            "inside_namespace": "turnpike-inside" if networks else "",
            "media_ports": [first, last],
        }

    def without_networks(self) -> str:
        """The text of the file with the test phone at our own inside address."""
        with open(self.path, encoding="utf-8") as file:
            text = file.read()
        phone, _ = self.test_phone()
        if not phone:
            return text
        here = endpoint(self.inside, PORT_WITHOUT_NETWORKS)
        text = text.replace(f'"sip:{phone}"', f'"sip:{here}"')
        network = f"{self.inside}/{128 if ':' in self.inside else 32}"
        text = re.sub(r"(?m)^inside_networks = \[", f'inside_networks = ["{network}", ', text)
        return re.sub(r"(?m)^trust_local_processes = false$", "trust_local_processes = true", text)


def main() -> int:
    try:
        settings = Settings(sys.argv[1])
        if sys.argv[2:3] == ["--plan"]:
            print(json.dumps(settings.plan(sys.argv[3], sys.argv[4] == "1"), indent=1))
        elif sys.argv[2:3] == ["--without-networks"]:
            print(settings.without_networks(), end="")
        else:
            for name, value in settings.assignments().items():
                print(f"{name}={shlex.quote(str(value))}")
    except (SettingsError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
