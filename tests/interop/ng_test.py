"""NG through its guarded doors: curl for HTTP, python3-websockets for WebSocket, socat for TCP. One
call is offered through one, answered through the next, asked for and ended through the others.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess

from lib.call import Call, Side
from lib.case import case, eventually, expect, note, run
from lib.certificates import Certificates
from lib.network import INSIDE, OUTSIDE, topology
from lib.ng import NgError
from lib.turnpiked import Turnpiked

TOKEN = "a token that nobody guesses"
HTTP, TCP = "127.0.0.1:2225", "127.0.0.1:2224"
HERE = __file__.rsplit("/", 1)[0]


class _JsonNg:
    """An Ng whose messages are JSON through `carry`, a function from text to text."""

    def __init__(self, carry):
        self._carry = carry

    def request(self, command, **keys):
        message = {"command": command}
        message.update({key.replace("_", "-"): value for key, value in keys.items()
                        if value is not None})
        cookie, _, reply = self._carry("7_1 " + json.dumps(message)).partition(" ")
        expect(cookie == "7_1", f"cookie {cookie!r}")
        reply = json.loads(reply)
        if reply.get("result") not in ("ok", "pong"):
            raise NgError(reply)
        return reply


class _Doors:
    """A daemon with all doors open, and foreign clients for them."""

    def __init__(self, scratch, **keys):
        scratch.enter(topology())
        self.token_file = scratch.folder / "ng.token"
        self.token_file.write_text(TOKEN + "\n")
        self.token_file.chmod(0o640)
        self.header = scratch.folder / "header"  # a token on a command line is no secret
        self.header.write_text(f"Authorization: Bearer {TOKEN}\n")
        self.no_token = scratch.folder / "empty"
        self.no_token.write_text("\n")
        self.daemon = Turnpiked(scratch, {"ng": {
            "tcp": TCP, "http": HTTP, "token_file": self.token_file, **keys}})

    def curl(self, body, *options, url=f"http://{HTTP}/ng"):
        """(status, body of the answer); status 0: there was none"""
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", "--data-binary", "@-",
             *options, url], input=body.encode(), capture_output=True, check=False)
        answer, _, status = done.stdout.decode().rpartition("\n")
        return int(status), answer

    def http(self, message):
        status, answer = self.curl(message, "-H", f"@{self.header}")
        expect(status == 200, f"HTTP {status}: {answer}")
        return answer

    def websocket(self, *messages, token_file=None, url=f"ws://{HTTP}/ng"):
        """(exit code, lines of output)"""
        done = subprocess.run(
            ["/usr/bin/python3", f"{HERE}/lib/ng_over_websocket.py", url,
             token_file or self.token_file],
            input="\n".join(messages) + "\n", capture_output=True, text=True, timeout=20)
        expect(done.returncode in (0, 3), done.stderr)
        return done.returncode, done.stdout.splitlines()

    def over_websocket(self, message):
        return self.websocket(message)[1][0]

    def tcp(self, message, first=f"Authorization: Bearer {TOKEN}\n"):
        return subprocess.run(["socat", "-t10", "-", f"TCP:{TCP}"], input=first + message,
                              capture_output=True, text=True, timeout=20, check=True).stdout

    def refused(self, reason):
        return self.daemon.total("turnpike_ng_refused_total", reason=reason)


@case
def one_call_through_every_door(scratch):
    doors = _Doors(scratch)
    calls = []
    for carry in (doors.http, doors.over_websocket, doors.tcp):
        ng = _JsonNg(carry)
        i = len(calls)
        a = Side(OUTSIDE, 30000 + 2 * i, ("AES_CM_128_HMAC_SHA1_80",))
        calls.append(Call(ng, a, Side(INSIDE, 20000 + 2 * i)).set_up())
    expect(doors.daemon.sessions() == 3, f"{doors.daemon.sessions()} sessions")
    _the_node_is_described(doors, [call.call_id for call in calls])
    # Each is ended through another door than it was made through.
    for call, carry in zip(calls, (doors.tcp, doors.http, doors.over_websocket)):
        call.ng = _JsonNg(carry)
        call.delete()
    expect(doors.daemon.sessions() == 0, "every call has ended")
    expect(doors.http("d7:command4:pinge") == "d6:result4:ponge", "bencode over HTTP")
    expect(doors.tcp("d7:command4:pinge" * 3) == "d6:result4:ponge" * 3, "bencode over TCP")
    code, replies = doors.websocket(*[f'{i} {{"command": "ping"}}' for i in range(50)])
    expect(code == 0 and replies == [f'{i} {{"result":"pong"}}' for i in range(50)], replies)
    log = doors.daemon.log_text()
    expect(TOKEN not in log and "inline:" not in log, "the log holds a secret")


def _the_node_is_described(doors, call_ids):
    """`list` and `statistics`, in both encodings."""
    json_ng, bencode_ng = _JsonNg(doors.http), doors.daemon.ng
    for ng in (json_ng, bencode_ng):
        expect(sorted(ng.request("list")["calls"]) == sorted(call_ids), "all calls are listed")
        expect(len(ng.request("list", limit=1)["calls"]) == 1, "no more than asked for")
    seen = json_ng.request("statistics")["statistics"]
    expect(seen["currentstatistics"]["sessionstotal"] == 3, seen["currentstatistics"])
    used = {one["address"]: one["ports"]["used"] for one in seen["interfaces"]}
    expect(used[OUTSIDE.host()] == 6 and used[INSIDE.host()] == 6, used)
    control = bencode_ng.request("statistics")["statistics"]["controlstatistics"]
    expect(control["totaloffercount"] == 3 and control["totalanswercount"] == 3, control)
    expect(control["proxies"][0]["statscount"] == 2, control)


@case
def T19_strangers_are_turned_away_at_every_door(scratch):
    doors = _Doors(scratch, client_requests_per_second_max=3)
    ping = '{"command": "ping"}'
    expect(doors.curl(ping)[0] == 401, "no token")
    expect(doors.curl(ping, "-H", "Authorization: Bearer wrong")[0] == 401, "a wrong token")
    token = ("-H", f"@{doors.header}")
    expect(doors.curl(ping, *token, "-H", "Origin: https://evil.example")[0] == 403, "a web page")
    expect(doors.curl(ping, *token, "-H", "Host: evil.example")[0] == 403, "rebinding")
    expect(doors.curl(ping, *token, url=f"http://{HTTP}/")[0] == 404, "another path")
    expect(doors.websocket(ping, token_file=doors.no_token) == (3, ["401"]), "WebSocket, no token")
    reply = doors.tcp(ping, first="")
    expect("first line" in reply and "pong" not in reply, reply)
    counted = {reason: doors.refused(reason) for reason in ("token", "origin", "host", "protocol")}
    expect(counted == {"token": 4, "origin": 1, "host": 1, "protocol": 1}, counted)
    replies = doors.websocket(*[ping] * 10)[1]
    expect(any("Too many requests a second" in reply for reply in replies), replies)
    expect(doors.refused("rate") > 0, "counted")
    expect(doors.daemon.ng.ping(), "the SIP server's socket has no quota")
    note(f"refused {counted}")


KAMAILIO = """
listen=udp:127.0.0.1:5066
children=1
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "lwsc.so"
loadmodule "rtpengine.so"
modparam("rtpengine", "wsapi", "lwsc")
modparam("rtpengine", "rtpengine_sock", "URL")
request_route {
    if (rtpengine_offer("replace-origin ICE=remove RTP/AVP direction=outside direction=inside")) {
        sl_send_reply("486", "The relay has taken it");
    } else {
        sl_send_reply("500", "The relay has not");
    }
}
"""
INVITE = """INVITE sip:6001@127.0.0.1:5066 SIP/2.0\r
Via: SIP/2.0/UDP 127.0.0.1:5067;branch=z9hG4bKlwsc\r
From: <sip:a@example.com>;tag=a\r
To: <sip:6001@example.com>\r
Call-ID: by-websocket\r
CSeq: 1 INVITE\r
Contact: <sip:a@127.0.0.1:5067>\r
Max-Forwards: 70\r
Content-Type: application/sdp\r
Content-Length: {length}\r
\r
{sdp}"""


def _kamailio_asks(scratch, doors, url, **environment):
    """A stock Kamailio answers an INVITE, which shows that its offer was taken."""
    token = "0123456789abcdef0123456789"
    doors.token_file.write_text(token + "\n")
    doors.daemon.signal(signal.SIGHUP)
    path = scratch.folder / "kamailio.cfg"
    path.write_text(KAMAILIO.replace("URL", f"{url}/{token}"))
    scratch.spawn("/usr/sbin/kamailio", "-DD", "-E", "-f", path, "-Y", scratch.folder, "-w",
                  scratch.folder, stdout=subprocess.DEVNULL,
                  stderr=open(scratch.folder / "kamailio.log", "wb"),
                  env={**os.environ, **environment})
    sdp = Side(OUTSIDE, 30000, ("AES_CM_128_HMAC_SHA1_80",)).sdp()
    invite = INVITE.format(length=len(sdp), sdp=sdp).encode()
    answer = b""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(("127.0.0.1", 5067))
        link.settimeout(0.5)
        for _ in range(20):
            link.sendto(invite, ("127.0.0.1", 5066))
            with contextlib.suppress(OSError):
                answer = link.recv(65536)
                break
    expect(answer.startswith(b"SIP/2.0 486 "),
           f"{answer[:60]} {(scratch.folder / 'kamailio.log').read_text()[-1500:]}")
    expect(doors.daemon.sessions() == 1, "the relay has a session")
    expect(token not in doors.daemon.log_text(), "the log holds the token")


@case
def kamailio_asks_by_websocket_with_the_token_in_its_path(scratch):
    _kamailio_asks(scratch, _Doors(scratch, token_in_path=True), f"ws://{HTTP}/ng")


def _with_tls(scratch, **keys):
    """(certificates of the authorities "ours" and "theirs", doors with one of the first)"""
    made = Certificates(scratch.folder)
    made.authority("ours")
    made.authority("theirs")
    made.make("node", "IP:127.0.0.1", authority="ours")
    return made, _Doors(scratch, certificate_file=scratch.folder / "node.pem",
                        private_key_file=scratch.folder / "node.key", **keys)


@case
def kamailio_asks_by_secure_websocket(scratch):
    _, doors = _with_tls(scratch, token_in_path=True)
    authorities = str(scratch.folder / "ours.pem")
    _kamailio_asks(scratch, doors, f"wss://{HTTP}/ng", SSL_CERT_FILE=authorities)


@case
def T19_a_certificate_opens_https_and_nothing_else_does(scratch):
    folder = scratch.folder
    made, doors = _with_tls(scratch, tcp="", token_file="", client_trust_file=folder / "theirs.pem")
    made.make("sip-server", "", "clientAuth", authority="theirs")
    made.make("stranger", "", "clientAuth", authority="ours")

    def ask(name, *options, scheme="https"):
        shown = ("--cert", folder / f"{name}.pem", "--key", folder / f"{name}.key") if name else ()
        return doors.curl('{"command": "ping"}', "--cacert", folder / "ours.pem", *shown, *options,
                          url=f"{scheme}://{HTTP}/ng")

    expect(ask("sip-server") == (200, '{"result":"pong"}'), "a good certificate")
    expect(ask("sip-server", "-H", "Origin: https://127.0.0.1")[0] == 403, "a web page")
    for name, scheme in (("", "https"), ("", "http"), ("stranger", "https")):
        expect(ask(name, scheme=scheme)[0] == 0, f"{scheme} with the certificate {name!r}")
    eventually(lambda: doors.refused("tls") == 3, "each of them is counted")
    key = (folder / "node.key").read_text()
    (folder / "node.key").write_text((folder / "stranger.key").read_text())
    doors.daemon.signal(signal.SIGHUP)
    eventually(lambda: "event=ng_certificate_kept" in doors.daemon.log_text(), "a wrong key")
    expect(ask("sip-server")[0] == 200, "the files read before stay in use")
    (folder / "node.key").write_text(key)
    (folder / "theirs.pem").write_text((folder / "ours.pem").read_text())
    doors.daemon.signal(signal.SIGHUP)
    eventually(lambda: ask("sip-server")[0] == 0, "its authority does not hold any more")
    expect(ask("stranger")[0] == 200, "the other one does")


run()
