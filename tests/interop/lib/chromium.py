"""A headless Chromium in a Place, driven by WebDriver (W3C): a WebRTC stack and a page viewer that
are not ours.

Hides: chromedriver, its HTTP protocol, the switches for a machine without sound card or screen.
Host candidates stay hidden behind mDNS names, as in any browser that was not asked for a camera.
"""

import base64
import contextlib
import http.client
import json

from . import case

DRIVER_PORT = 9515
SWITCHES = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--mute-audio",
    # Its start page is on the internet, and no script runs before that is given up: at once, if its
    # name is not even asked for. Addresses are names too, to these rules.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE *.*.*.*",
]


class Browser:
    """One browser window. `run` executes JavaScript that may await and returns its value."""

    def __init__(self, scratch, place, switches=()):
        self.place = place
        profile = scratch.folder / f"chromium-{place.name}"
        log = open(scratch.folder / f"chromedriver-{place.name}.log", "w")
        scratch.on_exit(log.close)
        scratch.spawn(*place.command("chromedriver", f"--port={DRIVER_PORT}"),
                      stdout=log, stderr=log)
        case.eventually(self._ready, "chromedriver answers", 20)
        options = {"binary": "/usr/bin/chromium",
                   "args": [*SWITCHES, *switches, f"--user-data-dir={profile}"]}
        value = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "acceptInsecureCerts": True,
            "timeouts": {"script": 60000}, "goog:loggingPrefs": {"browser": "SEVERE"},
            "goog:chromeOptions": options}}})
        self._session = f"/session/{value['sessionId']}"
        scratch.on_exit(self._close)

    def _ready(self):
        with contextlib.suppress(OSError):
            return self._call("GET", "/status")["ready"]
        return False

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", DRIVER_PORT, timeout=90)
        with self.place.sockets():
            connection.connect()
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        if isinstance(value, dict) and "error" in value:
            raise case.Failed(f"browser: {value['error']}: {value.get('message', '')[:600]}")
        return value

    def _close(self):
        with contextlib.suppress(OSError, case.Failed):
            self._call("DELETE", self._session)

    def open(self, url):
        self._call("POST", self._session + "/url", {"url": url})

    def emulate(self, command, **parameters):
        """A command of the DevTools protocol's Emulation: screen size, colour scheme."""
        self._call("POST", self._session + "/goog/cdp/execute",
                   {"cmd": f"Emulation.{command}", "params": parameters})

    def screenshot(self):
        """PNG of what is seen."""
        return base64.b64decode(self._call("GET", self._session + "/screenshot"))

    def messages(self):
        """What the browser has complained about since the last look."""
        return [entry["message"] for entry in self._call(
            "POST", self._session + "/se/log", {"type": "browser"})]

    def run(self, script, *arguments):
        """Runs the body of an async function(a, b, …) and gives its value."""
        names = ", ".join("abcdef"[:len(arguments)])
        body = (f"const done = arguments[arguments.length - 1];"
                f"(async ({names}) => {{ {script} }})(...[...arguments].slice(0, -1))"
                f".then(value => done({{value}}), error => done({{failed: String(error.stack)}}));")
        result = self._call("POST", self._session + "/execute/async",
                            {"script": body, "args": list(arguments)})
        if "failed" in result:
            raise case.Failed(f"script in the browser: {result['failed'][:600]}")
        return result.get("value")
