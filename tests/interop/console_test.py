"""The API over TCP, as tokens and certificates open it, and the console in a real browser."""
# time limit: 200 s

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading
import warnings

import jsonschema

from lib import rtp
from lib.call import Call, Side
from lib.case import case, eventually, expect, run
from lib.chromium import Browser
from lib.network import INSIDE, OUTSIDE, STRANGER, topology
from lib.turnpiked import Turnpiked, executable

PORT = 9465
READER = "reader-0123456789abcdef0123456789"
OPERATOR = "operator-0123456789abcdef01234567"


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, stdin=subprocess.DEVNULL,
                   capture_output=True)


class Authority:
    """A certificate authority in a folder, and what it signs."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", folder / f"{name}.key", "-out", self.trust, "-subj", f"/CN={name}",
                "-days", 2)

    @property
    def trust(self):
        return self.folder / f"{self.name}.pem"

    def issue(self, name, *extensions):
        """Certificate and key for a name; extensions as -addext takes them."""
        key, request = self.folder / f"{name}.key", self.folder / f"{name}.csr"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", key, "-out", request, "-subj", f"/CN={name}",
                *(word for one in extensions for word in ("-addext", one)))
        certificate = self.folder / f"{name}.pem"
        openssl("x509", "-req", "-in", request, "-CA", self.trust, "-CAkey",
                self.folder / f"{self.name}.key", "-CAcreateserial", "-days", 2,
                "-copy_extensions", "copyall", "-out", certificate)
        return certificate, key


class Door:
    """The API of one daemon, asked from a place over TLS."""

    def __init__(self, authority, place=OUTSIDE, identity=None):
        self.place = place
        self.context = ssl.create_default_context(cafile=authority.trust)
        if identity:
            self.context.load_cert_chain(*identity)

    def ask(self, path, token=None, method="GET", host=None, **headers):
        """Status and body."""
        connection = http.client.HTTPSConnection(OUTSIDE.host_v4, PORT, context=self.context,
                                                 timeout=10)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if host:
            headers["Host"] = host
        with contextlib.closing(connection):
            with self.place.sockets():
                connection.connect()
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def fails(self):
        """Whether TLS does not let us in."""
        try:
            self.ask("/v1/status", READER)
        except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
            return True
        return False


def serving(scratch, **api):
    """A daemon with the API on its outside address, and the authority of its certificate."""
    authority = Authority(scratch.folder, "authority")
    certificate, key = authority.issue(
        "server", f"subjectAltName=IP:{OUTSIDE.host_v4},DNS:edge.example.com")
    tokens = scratch.folder / "tokens"
    tokens.write_text(f"# who may ask\ngrafana read {READER}\nanna operate {OPERATOR}\n")
    tokens.chmod(0o600)
    users = scratch.folder / "turn-users"
    users.write_text("alice correct-horse-battery\n")
    users.chmod(0o600)
    daemon = Turnpiked(scratch, {
        "api": {"listen": f"{OUTSIDE.host_v4}:{PORT}", "tokens_file": tokens,
                "certificate_file": certificate, "private_key_file": key, **api},
        "turn.realm.main": {"users_file": users}})
    return daemon, authority


class Talk:
    """Plain RTP both ways, fifty packets a second, until the case ends."""

    def __init__(self, scratch, call):
        self.ends = [rtp.RtpSocket(scratch, side) for side in (call.a, call.b)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        scratch.on_exit(self.stop)

    def _run(self):
        sequence = 0
        while not self._stop.wait(0.02):
            sequence += 1
            for number, end in enumerate(self.ends):
                end.send(rtp.packet(sequence, ssrc=4711 + number))
                end.drain()

    def stop(self):
        self._stop.set()
        self._thread.join()


# -- the API -----------------------------------------------------------------------------------

def schemas(description):
    """The description's schemas as one JSON schema with definitions."""
    text = json.dumps(description["components"]["schemas"])
    return json.loads(text.replace("#/components/schemas/", "#/$defs/"))


def check_shape(description, path, body):
    """The body fits the schema that the description names for the path."""
    content = description["paths"][path]["get"]["responses"]["200"]["content"]
    if "application/json" not in content:
        return
    schema = json.loads(json.dumps(content["application/json"]["schema"]).replace(
        "#/components/schemas/", "#/$defs/"))
    schema["$defs"] = schemas(description)
    jsonschema.Draft202012Validator(schema).validate(json.loads(body))


@case
def tokens_open_the_api_over_tls(scratch):
    scratch.enter(topology())
    daemon, authority = serving(scratch)
    call = Call(daemon.ng, Side(OUTSIDE, 30000), Side(INSIDE, 20000)).set_up()
    Talk(scratch, call)
    door = Door(authority)
    description = json.loads(door.ask("/v1/openapi.json", READER)[1])
    eventually(lambda: json.loads(door.ask("/v1/sessions?figures=true&limit=5", READER)[1])
               ["sessions"][0]["legs"]["b"]["packets_sent"] > 5, "figures of the call")
    session = json.loads(door.ask("/v1/sessions", READER)[1])["sessions"][0]["id"]
    checked = 0
    for path, operations in description["paths"].items():
        if "get" not in operations:
            continue
        asked = path.replace("{id}", session)
        status, body = door.ask(asked, READER)
        expect(status == 200, f"{asked}: {status} {body[:200]}")
        check_shape(description, path, body)
        if path == "/v1/sessions":
            check_shape(description, path, door.ask(asked + "?figures=true&limit=5", READER)[1])
        status, body = door.ask(asked)
        open_to_all = path in ("/healthz", "/readyz")
        expect(status == (200 if open_to_all else 401), f"{asked} without token: {status}")
        checked += 1
    expect(checked == 13, f"{checked} paths")
    broken = json.loads(door.ask("/v1/status", READER)[1])
    broken["shards"][0]["packets_received"] = "many"
    try:
        check_shape(description, "/v1/status", json.dumps(broken))
    except jsonschema.ValidationError:
        pass
    else:
        expect(False, "a wrong answer fits its schema: the check checks nothing")
    operate(daemon, door)
    refuse_strangers(daemon, authority)
    renew_certificate(scratch, daemon, authority)
    rotate_tokens(scratch, daemon, door)
    log = daemon.log_text()
    for secret in (READER, OPERATOR, "wrong-token"):
        expect(secret not in log and secret not in daemon.metrics_text(), f"{secret} is told")
    expect("event=api_refused reason=wrong_token address=192.0.2.66" in log, "wrong tokens show")


def operate(daemon, door):
    """What changes the daemon needs the other scope."""
    expect(door.ask("/v1/drain", READER, "POST")[0] == 403, "a reader drains the daemon")
    expect(door.ask("/readyz")[0] == 200, "the daemon drains")
    status, body = door.ask("/v1/drain", OPERATOR, "POST")
    expect(status == 200 and json.loads(body)["state"] == "draining", f"{status} {body[:80]}")
    expect(door.ask("/readyz")[0] == 503, "ready while it drains")
    expect(door.ask("/v1/resume", OPERATOR, "POST")[0] == 200, "resume")
    expect(door.ask("/readyz")[0] == 200, "not ready after resume")
    expect("event=api_operate what=drain by=anna address=198.51.100.10" in daemon.log_text(),
           "the log tells who drained")
    for word, ready in (("drain", 503), ("resume", 200)):
        told = subprocess.run([executable("turnpikectl"), "--socket", daemon.api_path, word],
                              capture_output=True, text=True, check=True).stdout
        expect(door.ask("/readyz")[0] == ready, f"turnpikectl {word} has no effect: {told}")
    expect('what=drain by="unix socket"' in daemon.log_text(), "the log tells who drained")


def refuse_strangers(daemon, authority):
    """Guesses end in a pause for whoever guesses; other hosts' pages never get in."""
    stranger = Door(authority, STRANGER)
    for _ in range(10):
        expect(stranger.ask("/v1/status", "wrong-token")[0] == 401, "a wrong token")
    expect(stranger.ask("/v1/status", "wrong-token")[0] == 429, "whoever guesses goes on guessing")
    expect(stranger.ask("/v1/status", READER)[0] == 200, "guesses lock out who shares the address")
    door = Door(authority)
    expect(door.ask("/v1/status", READER)[0] == 200, "others wait too")
    for headers in ({"host": "evil.example"}, {"Origin": "https://evil.example"},
                    {"Origin": "null"}):
        expect(door.ask("/v1/status", READER, **headers)[0] == 403, f"{headers} gets in")
    own = f"https://{OUTSIDE.host_v4}:{PORT}"
    expect(door.ask("/v1/status", READER, Origin=own)[0] == 200, "our own page is refused")
    with contextlib.ExitStack() as held:
        with STRANGER.sockets():
            crowd = [held.enter_context(socket.create_connection((OUTSIDE.host_v4, PORT), 10))
                     for _ in range(17)]
        expect(crowd[16].recv(1) == b"", "a seventeenth connection of a source stays open")
        expect(crowd[8].recv(1) == b"", "a ninth handshake of a source stays open")
        crowd[7].setblocking(False)
        try:
            crowd[7].recv(1)
            expect(False, "the first handshakes of the crowd are closed")
        except BlockingIOError:
            pass
        expect(door.ask("/readyz")[0] == 200, "one source keeps others out")
    for reason, least in (("no_token", 7), ("wrong_token", 10), ("too_many_attempts", 1),
                          ("scope", 1)):
        counted = daemon.total("turnpike_http_unauthorized_total", reason=reason)
        expect(counted >= least, f"{reason}: {counted}")


def shown(authority):
    """The certificate that a new connection is shown, and that connection."""
    door = Door(authority)
    connection = http.client.HTTPSConnection(OUTSIDE.host_v4, PORT, context=door.context,
                                             timeout=10)
    with door.place.sockets():
        connection.connect()
    return connection.sock.getpeercert(True), connection


def renew_certificate(scratch, daemon, authority):
    """SIGHUP takes a new certificate; who is connected stays, a wrong key changes nothing."""
    old, connected = shown(authority)
    key = scratch.folder / "server.key"
    kept = key.read_text()
    key.write_text((scratch.folder / "authority.key").read_text())
    daemon.signal(signal.SIGHUP)
    eventually(lambda: "event=api_certificate_kept" in daemon.log_text(), "the key is refused")
    key.write_text(kept)
    expect(shown(authority)[0] == old, "the old certificate stays")
    authority.issue("server", f"subjectAltName=IP:{OUTSIDE.host_v4},DNS:edge.example.com")
    daemon.signal(signal.SIGHUP)
    eventually(lambda: shown(authority)[0] != old, "a new one is shown", every=0.1)
    connected.request("GET", "/readyz")
    expect(connected.getresponse().status == 200, "who was connected still is")


def rotate_tokens(scratch, daemon, door):
    """SIGHUP reads the tokens anew; a broken file changes nothing."""
    tokens = scratch.folder / "tokens"
    fresh = "fresh-0123456789abcdef0123456789"
    tokens.write_text("broken\n")
    daemon.signal(signal.SIGHUP)
    eventually(lambda: "event=tokens_kept" in daemon.log_text(), "the file is refused")
    expect(door.ask("/v1/status", READER)[0] == 200, "the old token is gone")
    tokens.write_text(f"grafana read {fresh}\n")
    daemon.signal(signal.SIGHUP)
    eventually(lambda: door.ask("/v1/status", fresh)[0] == 200, "the new token admits", every=0.1)
    expect(door.ask("/v1/status", READER)[0] == 401, "the old token still admits")


@case
def client_certificates_open_it_too(scratch):
    scratch.enter(topology())
    clients = Authority(scratch.folder, "clients")
    daemon, authority = serving(scratch, client_trust_file=clients.trust, tokens_file=None)
    alice = clients.issue("alice", "extendedKeyUsage=clientAuth")
    door = Door(authority, identity=alice)
    expect(door.ask("/v1/status")[0] == 200, "a certificate of the authority is refused")
    expect(door.ask("/v1/drain", method="POST")[0] == 403, "a certificate may do anything")
    other = Authority(scratch.folder, "other")
    expect(Door(authority).fails(), "it goes without a certificate")
    for name, identity in (
            ("another authority", other.issue("mallory", "extendedKeyUsage=clientAuth")),
            ("itself", (other.trust, scratch.folder / "other.key")),
            ("the server's authority", authority.issue("eve", "extendedKeyUsage=clientAuth"))):
        expect(Door(authority, identity=identity).fails(), f"a certificate by {name} admits")
    expect(Door(authority, identity=clients.issue("bob", "extendedKeyUsage=serverAuth")).fails(),
           "a certificate for servers admits")
    expect(door.ask("/v1/status")[0] == 200, "and afterwards")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        door.context.minimum_version = ssl.TLSVersion.TLSv1_1
        door.context.maximum_version = ssl.TLSVersion.TLSv1_1
    door.context.set_ciphers("ALL:@SECLEVEL=0")
    expect(door.fails(), "TLS 1.1 is spoken")


# -- the console -------------------------------------------------------------------------------

TEXT = "return document.getElementById(a).innerText"


class Console:
    """The page in a browser at the outside."""

    def __init__(self, scratch):
        self.browser = Browser(scratch, OUTSIDE)
        self.browser.open(f"https://{OUTSIDE.host_v4}:{PORT}/")
        # Where somebody wants to look at them; else they go with the case.
        self.pictures = pathlib.Path(os.environ.get("TURNPIKE_PICTURES", scratch.folder))

    def text(self, element):
        return self.browser.run(TEXT, element)

    def shown(self, element):
        return self.browser.run(
            "return document.getElementById(a)?.checkVisibility() ?? false", element)

    def click(self, selector):
        self.browser.run("document.querySelector(a).click()", selector)

    def log_in(self, token):
        self.browser.run("""
            document.getElementById('token').value = a;
            document.getElementById('login').requestSubmit();""", token)

    def search(self, text):
        self.browser.run("""
            const field = document.getElementById('search');
            field.value = a;
            field.dispatchEvent(new Event('input'));""", text)

    def until(self, element, text, seconds=10):
        eventually(lambda: text in self.text(element),
                   lambda: f"{element} says {text}: {self.text(element)!r}", seconds, every=0.1)

    def rates(self):
        """Packets a second from A to B and back, as drawn."""
        return self.browser.run("""
            return [...document.querySelectorAll('.flow .rate')].map(one => parseFloat(
                one.textContent))""")

    def picture(self, name):
        """In light, dark, and on a phone; nothing may stick out to the side."""
        for colours, width in (("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)):
            self.browser.emulate("setEmulatedMedia", features=[
                {"name": "prefers-color-scheme", "value": colours}])
            height = self.browser.run("return document.documentElement.scrollHeight")
            self.browser.emulate("setDeviceMetricsOverride", width=width, height=900,
                                 deviceScaleFactor=1, mobile=width < 500)
            height = self.browser.run("return document.documentElement.scrollHeight")
            self.browser.emulate("setDeviceMetricsOverride", width=width,
                                 height=min(max(height, 600), 3000), deviceScaleFactor=1,
                                 mobile=width < 500)
            wide = self.browser.run("return document.documentElement.scrollWidth")
            expect(wide <= width, f"{name}: {wide} pixels wide on a screen of {width}")
            (self.pictures / f"{name}-{colours}-{width}.png").write_bytes(
                self.browser.screenshot())


def nameless(browser):
    """Controls without a name for a screen reader."""
    return browser.run("""
        return [...document.querySelectorAll('button, input, select, meter')].filter(one =>
            !one.textContent.trim() && !one.getAttribute('aria-label') && !one.labels?.length)
            .map(one => one.outerHTML)""")


@case
def the_console_shows_a_call(scratch):
    scratch.enter(topology())
    daemon, _ = serving(scratch)
    page = Console(scratch)
    eventually(lambda: page.shown("login"), "the page asks for a token", every=0.1)
    page.picture("login")
    page.log_in("wrong-0123456789abcdef0123456789")
    page.until("login-why", "not known")
    page.log_in(READER)
    page.until("no-sessions", "No calls at the moment")
    page.until("link", "live")
    page.picture("empty")

    calls = [Call(daemon.ng, Side(OUTSIDE, 30000 + 10 * i), Side(INSIDE, 20000 + 10 * i)).set_up()
             for i in range(30)]
    call = calls[0]
    talk = Talk(scratch, call)
    page.until("count", "30 sessions")
    page.until("page", "1–25")
    page.click("#next")
    page.until("page", "26–30")
    page.search(call.call_id.upper() + "x")
    page.until("no-sessions", "No session matches")
    page.search(call.from_tag.upper())
    eventually(lambda: call.call_id in page.text("sessions"), "the call is found", every=0.1)
    page.search("20000")
    eventually(lambda: page.text("sessions").count("call-") == 1, "one is found", every=0.1)
    page.click("#sessions .call")
    page.until("call-title", call.call_id)
    eventually(lambda: all(20 < rate < 60 for rate in page.rates()),
               lambda: f"up to fifty packets a second both ways: {page.rates()}", every=0.2)
    for words in (OUTSIDE.v4 + ":30000", INSIDE.v4 + ":20000", "outside", "inside", "plain RTP"):
        expect(words in page.text("legs"), f"the legs do not show {words}")
    look_at_drops(page, talk)
    expect(not nameless(page.browser), f"without a name: {nameless(page.browser)}")
    page.browser.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    expect(not page.shown("call"), "Escape closes the call")
    expect(page.browser.run("return document.activeElement.className") in ("call", ""),
           "the focus is lost")
    page.browser.run("document.querySelector('#sessions .call').click()")
    page.until("call-title", "call-")
    for one in calls:
        one.delete()
    page.until("no-sessions", "No calls at the moment")
    eventually(lambda: page.shown("call-gone"), "the open session has ended", every=0.1)
    look_at_trouble(scratch, daemon, page)


def look_at_drops(page, talk):
    """Junk at the call's port shows under its reason."""
    for _ in range(200):
        talk.ends[0].send(b"\xff" * 40)
    page.until("drops", "unknown_protocol")
    page.until("drops", "200")
    page.until("legs", "unknown_protocol")
    page.search("")
    page.until("count", "30 sessions")
    page.picture("call")
    expect(all(page.rates()), f"silence is drawn: {page.rates()}")
    talk.stop()
    eventually(lambda: page.rates() == [0, 0], lambda: f"{page.rates()} in silence", every=0.2)


def look_at_trouble(scratch, daemon, page):
    """A daemon that stops and comes back, and a token that holds no longer."""
    complaints = [text for text in page.browser.messages() if "401" not in text
                  and "404" not in text]
    expect(not complaints, f"the browser complains: {complaints}")
    daemon.stop()
    page.until("notice", "does not answer")
    page.picture("stopped")
    daemon.start()
    page.until("link", "live")
    expect(not page.shown("notice"), "the notice stays")
    (scratch.folder / "tokens").write_text(f"other read other-{READER}\n")
    daemon.signal(signal.SIGHUP)
    eventually(lambda: page.shown("login"), "the page asks for a token again", every=0.1)
    page.until("login-why", "no longer")
    kept = page.browser.run("return [Object.keys(sessionStorage).length, document.cookie]")
    expect(kept == [0, ""], f"something of the token is kept: {kept}")


run()
