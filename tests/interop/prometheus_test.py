"""Prometheus reads /metrics while calls run: every expression of dashboard and alerts has a value.

An expression that names a metric or label that does not exist is no error to Prometheus, only
empty: so emptiness is what is looked for.
"""

import json
import math
import re
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from lib import stun, turn
from lib.call import Call, Side
from lib.case import ROOT, Failed, case, eventually, expect, note, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.peer import Peer, connect
from lib.turnpiked import Turnpiked

RULES = ROOT / "deploy/prometheus/turnpike.rules.yml"
CONFIG = ROOT / "deploy/prometheus/prometheus.yml"
DASHBOARDS = sorted((ROOT / "deploy/grafana").glob("*.json"))
RULES_TEST = ROOT / "tests/interop/prometheus_rules_test.yml"
SERVER = "http://127.0.0.1:9090"
RATE_INTERVAL = "30s"


def alerts():
    """Expression by name. The file is our own, its layout known: no YAML reader is needed."""
    found = {}
    for block in RULES.read_text().split("- alert: ")[1:]:
        name = block.split("\n", 1)[0]
        expression = re.search(r"(?ms)^        expr: (?:>-\n)?(.*?)^        \w+:", block).group(1)
        found[name] = " ".join(expression.split())
    return found


def dashboard_expressions():
    """Expression by dashboard and panel, Grafana's variables replaced."""
    found = {}
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"].replace("$instance", ".*")
                name = f"{path.stem}: {panel['title']}, {panel['id']}"
                found[name, target["refId"]] = expression.replace("$__rate_interval",
                                                                  RATE_INTERVAL)
    return found


def selectors(expression):
    """What an expression reads: metrics with their label matchers, without range."""
    names = re.findall(r"\b(?:turnpike|process)_\w+(?:\{[^}]*\})?|\bup\{[^}]*\}", expression)
    return sorted(set(names))


def query(expression):
    """The result vector: [(labels, value)]."""
    url = f"{SERVER}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as error:
        raise Failed(f"{expression}: {error.read().decode()}") from None
    return [(entry["metric"], float(entry["value"][1])) for entry in body["data"]["result"]]


def promtool(*words, text=None):
    done = subprocess.run(["promtool", *(str(word) for word in words)], capture_output=True,
                          text=True, input=text, check=False)
    expect(done.returncode == 0, f"promtool {words[0]} {words[1]}: {done.stdout}{done.stderr}")


def start_prometheus(scratch):
    config = CONFIG.read_text().replace("15s", "1s").replace("turnpike.rules.yml", str(RULES))
    (scratch.folder / "prometheus.yml").write_text(config)
    with open(scratch.folder / "prometheus.log", "ab") as log:
        scratch.spawn("prometheus", f"--config.file={scratch.folder}/prometheus.yml",
                      f"--storage.tsdb.path={scratch.folder}/tsdb",
                      "--web.listen-address=127.0.0.1:9090", stdout=log, stderr=log)


def start_load(scratch, daemon):
    """Calls with media, and some of everything that is refused or dropped."""
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    made = []
    for i in range(6):
        suites = ("AES_CM_128_HMAC_SHA1_80",) if i % 2 else ()
        a, b = Side(OUTSIDE, 30000 + 2 * i, suites), Side(INSIDE, 20000 + 2 * i)
        made.append(Call(daemon.ng, a, b).set_up())
        connect(made[-1], outside, inside)
    outside.start()
    inside.start()
    for call in made[:2]:
        call.delete()
    refused = daemon.ng.exchange("offer", call_id="broken", from_tag="f", sdp="v=0\r\n")
    expect(refused["result"] == "error", f"a broken offer got {refused}")
    eventually(lambda: daemon.total("turnpike_relay_packets_forwarded_total") > 100, "media flows")
    return made[2]


def start_turn_load():
    """Gives what sends some data through an allocation, and comes to the front door."""
    def dial(kind, port):
        with OUTSIDE.sockets():
            link = socket.socket(socket.AF_INET, kind)
        link.settimeout(5)
        link.connect((OUTSIDE.host_v4, port))
        return link
    client = turn.Client(dial(socket.SOCK_DGRAM, turn.SERVER_PORT))
    client.permit(OUTSIDE.v4)

    def ask():
        client.send(OUTSIDE.v4, 40009, b"discarded")
        with dial(socket.SOCK_STREAM, 443) as link:
            link.sendall(stun.message(stun.BINDING))
            expect(link.recv(100), "nobody answers at the front door")
    return ask


@case
def files_are_sound(_scratch):
    promtool("check", "rules", RULES)
    promtool("check", "config", CONFIG)
    expect(len(alerts()) >= 10, f"only {len(alerts())} alerts were found in {RULES.name}")
    expect(len(DASHBOARDS) == 3, f"dashboards: {DASHBOARDS}")
    expect(len(dashboard_expressions()) >= 60, "the dashboards have few expressions")


@case
def alerts_fire_in_trouble_and_only_then(scratch):
    text = RULES_TEST.read_text().replace("RULES", str(RULES))
    path = scratch.folder / "rules_test.yml"
    path.write_text(text.replace("ALERT_COUNT", str(len(alerts()))))
    promtool("test", "rules", path)


@case
def every_expression_has_a_value_under_load(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch, {
        **turn.realm(scratch.folder, allowed_peers=[OUTSIDE.v4], realm=turn.REALM),
        "front_door": {"port": 443, "turn": True}})
    promtool("check", "metrics", text=daemon.metrics_text())
    start_prometheus(scratch)
    heard = start_load(scratch, daemon)
    ask_turn = start_turn_load()

    def scraped():
        ask_turn()
        Call(daemon.ng, Side(OUTSIDE, 31000), Side(INSIDE, 21000)).set_up().delete()
        try:
            rates = (f"rate(turnpike_relay_packets_forwarded_total[{RATE_INTERVAL}]) > 0",
                     f'rate(turnpike_ng_requests_total{{command="answer"}}[{RATE_INTERVAL}]) > 0',
                     f'sum(rate(turnpike_turn_packets_total[{RATE_INTERVAL}])) > 0',
                     f'sum(rate(turnpike_front_door_connections_total[{RATE_INTERVAL}])) > 0')
            return all(query(rate) for rate in rates) and query("turnpike_calls >= 4")
        except OSError:
            return False
    eventually(scraped, "Prometheus has scraped the load", timeout=30, every=0.2)

    eventually(lambda: "average MOS" in str(heard.query()["SSRC"]), "a stream has a sample",
               timeout=20)
    heard.delete()
    median = "histogram_quantile(0.5, sum by (le) (rate(turnpike_stream_mos_bucket[30s])))"
    eventually(lambda: query(f"{median} > 3.6"), "the quality of ended calls is scraped",
               timeout=15, every=0.2)

    looked_at = 0
    for (title, ref), expression in dashboard_expressions().items():
        result = query(expression)
        expect(result, f"panel '{title}' {ref} is empty: {expression}")
        infinite = [labels for labels, value in result if not math.isfinite(value)]
        expect(not infinite, f"panel '{title}' {ref} has no number for {infinite}: {expression}")
        looked_at += 1
    for name, expression in alerts().items():
        query(expression)
        for selector in selectors(expression):
            expect(query(selector), f"alert {name} reads what does not exist: {selector}")
            looked_at += 1
    firing = query('ALERTS{alertstate="firing"}')
    expect(not firing, f"alerts fire on a healthy node: {firing}")
    note(f"{looked_at} expressions, all with values")


@case
def alert_fires_when_the_daemon_is_gone(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    start_prometheus(scratch)

    def up(value):
        def look():
            try:
                return query(f'up{{job="turnpike"}} == {value}')
            except OSError:
                return False
        return look
    eventually(up(1), "Prometheus scrapes the daemon", timeout=30, every=0.2)
    daemon.stop()
    eventually(up(0), "Prometheus misses the daemon", timeout=30, every=0.2)
    eventually(lambda: query('ALERTS{alertname="TurnpikeDown"}'), "the alert is pending",
               timeout=30, every=0.2)


run()
