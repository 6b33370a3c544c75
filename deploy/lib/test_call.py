#!/usr/bin/python3
"""Places two real calls through a running Turnpike and says in plain words what came of them.

    test_call.py PLAN.json

A phone outside (SIP over TLS, SRTP or nothing) registers, calls a phone inside (plain RTP), and is
called by it. Each plays a tone of its own and must hear the other's. Exit code 0: every check held.

Hides: the order of a call and the judgement of it. Not: how phones work (baresip.py), what a tone
is (tone.py), where the phones live; the plan names addresses and namespaces that exist.
"""

import dataclasses
import json
import pathlib
import shutil
import socket
import ssl
import sys
import tempfile
import time

import baresip
import netns

OUTSIDE_TONE_HZ, INSIDE_TONE_HZ = 1000, 440
WAYS = ("inwards", "outwards")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What up hands over. HOST:PORT texts have brackets around IPv6 addresses."""

    domain: str
    user: str
    password_file: str
    ca_file: str
    outside_proxy: str  # HOST:PORT of TLS
    inside_proxy: str  # HOST:PORT of UDP
    inside_number: str  # what the phone outside dials
    inside_phone: str  # HOST:PORT where the phone inside must listen
    outside_address: str  # of the phone outside
    media_ports: tuple  # first, last
    outside_namespace: str = ""
    inside_namespace: str = ""
    seconds: float = 3.0


class CallFailed(RuntimeError):
    """A check did not hold: what was seen, and what may be done."""

    def __init__(self, what: str, todo: str):
        super().__init__(what)
        self.todo = todo


def split(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.rpartition(":")
    return host.strip("[]"), int(port)


def say(label: str, text: str) -> None:
    print(f"  {label:<16}{text}", flush=True)


def check_certificate(plan: Plan) -> None:
    """TLS as a strict client does it: chain to the CA, and the name of the server."""
    context = ssl.create_default_context(cafile=plan.ca_file)
    host, port = split(plan.outside_proxy)
    try:
        with netns.connect(plan.outside_namespace or None, host, port, 5.0) as plain:
            with context.wrap_socket(plain, server_hostname=plan.domain) as secure:
                say("certificate", f"valid for {plan.domain}, {secure.version()}")
    except ssl.SSLCertVerificationError as error:
        raise CallFailed(
            f"the certificate of {plan.outside_proxy} is refused: {error.verify_message}",
            f"remove the old certificates and run again; the authority is {plan.ca_file}",
        ) from error
    except OSError as error:
        raise CallFailed(
            f"no TLS connection from {plan.outside_address} to {plan.outside_proxy}: {error}",
            f"see whether a packet filter of this host drops TCP port {port}",
        ) from error


def phones(plan: Plan, folder: pathlib.Path) -> tuple[baresip.Baresip, baresip.Baresip]:
    inside_host, inside_port = split(plan.inside_phone)
    outside = baresip.Baresip(
        "phone outside", folder / "outside",
        baresip.Account(
            plan.user, plan.domain, pathlib.Path(plan.password_file).read_text().strip(),
            transport="tls", outbound=plan.outside_proxy, media_encryption="srtp-mand",
            answer="auto"),
        address=plan.outside_address, namespace=plan.outside_namespace or None,
        tone_hz=OUTSIDE_TONE_HZ, ca_file=plan.ca_file)
    inside = baresip.Baresip(
        "phone inside", folder / "inside",
        baresip.Account(
            plan.inside_number, plan.domain, transport="udp", outbound=plan.inside_proxy,
            answer="auto", registration_seconds=0),
        address=inside_host, sip_port=inside_port, namespace=plan.inside_namespace or None,
        tone_hz=INSIDE_TONE_HZ)
    return outside, inside


def place(plan: Plan, caller: baresip.Baresip, called: baresip.Baresip, uri: str) -> None:
    """Dials and waits until both say that the call is up."""
    for phone in (caller, called):
        phone.forget_events()
    began = time.monotonic()
    caller.dial(uri)
    try:
        caller.wait_established(15.0)
        called.wait_established(5.0)
    except baresip.BaresipError as error:
        raise CallFailed(
            f"the call to {uri} did not come up: {error}",
            "look for the refusal in the logs of kamailio and turnpiked",
        ) from error
    say("call up", f"{uri} answered after {(time.monotonic() - began) * 1000:.0f} ms")


def judge_media(plan: Plan, outside: baresip.Baresip, inside: baresip.Baresip) -> None:
    """While the call is up: is it encrypted outside, plain inside, and does it pass through us?"""
    suite = outside.suite()
    if not suite or inside.suite():
        raise CallFailed(
            f"wrong media: outside {suite or 'not encrypted'}, inside {inside.suite() or 'plain'}",
            "look for the rewritten session description in the log of turnpiked")
    for name, phone, proxy, how in (("outside", outside, plan.outside_proxy, f"SRTP {suite}"),
                                    ("inside", inside, plan.inside_proxy, "plain RTP")):
        remote = phone.media_remote()
        host, port = split(remote)
        first, last = plan.media_ports
        if host != split(proxy)[0] or not first <= port <= last:
            raise CallFailed(
                f"the media of the phone {name} goes to {remote}, past Turnpike",
                "look for the rewritten session description in the log of turnpiked")
        say(f"media {name}", f"{how} with Turnpike at {remote}")


def count_packets(outside: baresip.Baresip, inside: baresip.Baresip) -> dict:
    """What either phone has sent and received so far, by its own count."""
    out, ins = outside.rtp_statistics(), inside.rtp_statistics()
    return {"sent inwards": out.get("sent", 0), "got inwards": ins.get("received", 0),
            "sent outwards": ins.get("sent", 0), "got outwards": out.get("received", 0)}


def wait_for_media(outside: baresip.Baresip, inside: baresip.Baresip) -> dict:
    """Until packets arrive on both sides; the counts at that moment."""
    deadline = time.monotonic() + 5.0
    while True:
        counts = count_packets(outside, inside)
        if counts["got inwards"] and counts["got outwards"]:
            return counts
        if time.monotonic() > deadline:
            silent = " and ".join(way for way in WAYS if not counts["got " + way])
            raise CallFailed(f"no packets arrive {silent}",
                             "see whether a packet filter of this host drops the media ports; "
                             "every dropped packet has a reason:")
        time.sleep(0.05)


def judge_packets(begin: dict, outside: baresip.Baresip, inside: baresip.Baresip) -> None:
    """Loss since `begin`. On a busy host packets may be on their way for a while when the phones
    are asked; what is lost stays lost."""
    on_their_way, loss_max = 5, 0.05
    deadline = time.monotonic() + 2.0
    while True:
        end = count_packets(outside, inside)
        sent = {way: end["sent " + way] - begin["sent " + way] for way in WAYS}
        missing = {way: sent[way] - end["got " + way] + begin["got " + way] for way in WAYS}
        if max(missing.values()) <= on_their_way or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    lost = {way: n if n > on_their_way else 0 for way, n in missing.items()}
    say("packets", ", ".join(f"{end['got ' + way]} {way} ({lost[way]} lost)" for way in WAYS))
    if any(lost[way] > loss_max * sent[way] for way in WAYS):
        raise CallFailed("packets were lost on a host where hardly any should be",
                         "see whether the host is overloaded; every dropped packet has a reason:")


def judge_tones(outside: baresip.Baresip, inside: baresip.Baresip, seconds: float) -> None:
    """After the call: what each phone recorded must be the other's tone."""
    for name, phone, wanted in (("inside", inside, OUTSIDE_TONE_HZ),
                                ("outside", outside, INSIDE_TONE_HZ)):
        heard = phone.heard()
        if not heard.holds(wanted, at_least_seconds=seconds / 2):
            raise CallFailed(
                f"the phone {name} should hear {wanted} Hz and heard "
                f"{heard.frequency_hz:.0f} Hz for {heard.tone_seconds:.1f} s "
                f"(purity {heard.purity:.2f})",
                "every dropped packet has a reason:")
        say(f"heard {name}", f"{heard.frequency_hz:.0f} Hz for {heard.tone_seconds:.1f} s: "
                             f"the tone of {wanted} Hz, recognised")


def call(plan: Plan, outside, inside, outward: bool) -> None:
    if outward:
        print("Call from inside to outside", flush=True)
        caller, called = inside, outside
        uri = f"sip:{plan.user}@{plan.domain}"
    else:
        print("Call from outside to inside", flush=True)
        caller, called = outside, inside
        uri = f"sip:{plan.inside_number}@{plan.domain}"
    place(plan, caller, called, uri)
    begin = wait_for_media(outside, inside)
    time.sleep(plan.seconds)  # the length of the call, not a wait for something
    judge_media(plan, outside, inside)
    judge_packets(begin, outside, inside)
    caller.hang_up()
    called.wait_closed(5.0)
    judge_tones(outside, inside, plan.seconds)


def run(plan: Plan, folder: pathlib.Path) -> None:
    print("Registration", flush=True)
    check_certificate(plan)
    outside, inside = phones(plan, folder)
    with inside, outside:
        try:
            outside.wait_registered(15.0)
        except baresip.BaresipError as error:
            raise CallFailed(
                f"{plan.user}@{plan.domain} cannot register: {error}",
                f"compare {plan.password_file} with the user in the configuration") from error
        say("registered", f"sip:{plan.user}@{plan.domain} over TLS at {plan.outside_proxy}")
        call(plan, outside, inside, outward=False)
        call(plan, outside, inside, outward=True)


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = Plan(**json.load(file))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="turnpike-call-"))
    try:
        run(plan, folder)
        return 0
    except CallFailed as error:
        print(f"\nFailed: {error}\nWhat to do: {error.todo}", file=sys.stderr)
    except (baresip.BaresipError, netns.NetnsError, OSError, socket.error) as error:
        print(f"\nFailed: {error}\nWhat to do: run it again; when it stays, see the logs",
              file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
