"""Another configuration for a daemon that carries calls: what changes at once, what waits for a
restart, what is refused; asked for by signal and by turnpikectl.
"""

import json
import os
import signal
import socket
import subprocess

from lib.call import Call, Side
from lib.case import case, eventually, expect, run
from lib.network import INSIDE, OUTSIDE, topology
from lib.ng import NgError
from lib.peer import Peer, connect
from lib.turnpiked import Turnpiked, executable

SUITE = "AEAD_AES_128_GCM"
TOKEN, OTHER = "0123456789abcdef-first", "0123456789abcdef-other"
NG_TCP = ("127.0.0.1", 2224)


def _ctl(daemon, *words, code=0):
    done = subprocess.run([executable("turnpikectl"), "--socket", daemon.api_path, *words],
                          capture_output=True, text=True, check=False, timeout=30)
    expect(done.returncode == code, f"turnpikectl {words} ended with {done.returncode}: {done}")
    return done.stdout if code == 0 else done.stdout + done.stderr


def _status(daemon):
    return json.loads(_ctl(daemon, "--json", "status"))


def _edit(daemon, section, **keys):
    """Writes keys into a section of the file, in place of what it said about them."""
    kept, here = [], ""
    for line in daemon.config_path.read_text("utf-8").splitlines():
        here = line if line.startswith("[") else here
        if here != f"[{section}]" or line.split(" ")[0] not in keys:
            kept.append(line)
    header = f"[{section}]"
    if header not in kept:
        kept.append(header)
    at = kept.index(header) + 1
    kept[at:at] = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    daemon.config_path.write_text("\n".join(kept) + "\n", "utf-8")


def _logged(daemon, event):
    return [line for line in daemon.log_text().splitlines() if f" event={event} " in line + " "]


def _running(scratch, calls=1, sections=None):
    """A daemon with calls that carry media: (daemon, outside, inside)."""
    scratch.enter(topology())
    daemon = Turnpiked(scratch, sections)
    outside, inside = Peer(scratch, OUTSIDE), Peer(scratch, INSIDE)
    for i in range(calls):
        call = Call(daemon.ng, Side(OUTSIDE, 30000 + 2 * i, (SUITE,)), Side(INSIDE, 20000 + 2 * i))
        connect(call.set_up(), outside, inside)
    outside.start()
    inside.start()
    eventually(lambda: min(leg["received"] for leg in inside.report().values()) > 10,
               "every call carries media")
    return daemon, outside, inside


def _new_call(daemon, port=31000):
    return Call(daemon.ng, Side(OUTSIDE, port), Side(INSIDE, port - 10000))


def _refused(call):
    try:
        call.offer()
    except NgError as error:
        return error.reply
    return None


@case
def hot_keys_change_with_calls_up(scratch):
    daemon, outside, inside = _running(scratch, 2)
    _edit(daemon, "media", calls_max=2, dscp_audio=10)
    _edit(daemon, "log", level="debug")
    before = daemon.config_path.read_text("utf-8")
    expect("would put into force" in _ctl(daemon, "reload", "--check"), "the check says nothing")
    expect(_status(daemon)["calls_max"] == 4000, "--check has changed something")
    said = _ctl(daemon, "reload")
    expect("in force now" in said and "media.calls_max: 4000 -> 2" in said, said)
    expect("log.level" in said and "restart" not in said, said)
    expect(_status(daemon)["calls_max"] == 2, "the new limit is not in force")
    expect(_refused(_new_call(daemon)), "a third call was taken")
    expect(_ctl(daemon, "log-level").strip() == "debug", "the level is another one")
    heard = inside.total("received")
    eventually(lambda: inside.total("received") > heard + 100, "the calls go on")
    expect("has not changed" in _ctl(daemon, "reload"), "the same file changes something")

    daemon.config_path.write_text(before.replace("calls_max = 2", "calls_max = 3"), "utf-8")
    daemon.signal(signal.SIGHUP)
    eventually(lambda: _status(daemon)["calls_max"] == 3, "SIGHUP puts it into force")
    _new_call(daemon).set_up()
    outside.pause()
    inside.pause()
    eventually(lambda: outside.total("sent") == inside.total("received") and
               inside.total("sent") == outside.total("received"), "no packet was lost")


@case
def a_bad_file_changes_nothing_and_says_why(scratch):
    daemon, _, inside = _running(scratch)
    good = daemon.config_path.read_text("utf-8")
    _edit(daemon, "media", calls_max=7, port_maxx=1)
    line = 1 + daemon.config_path.read_text("utf-8").splitlines().index("port_maxx = 1")
    for words in (["reload", "--check"], ["reload"]):
        said = _ctl(daemon, *words, code=1)
        expect(f"{daemon.config_path}:{line}: unknown key \"port_maxx\"" in said, said)
    daemon.signal(signal.SIGHUP)
    eventually(lambda: len(_logged(daemon, "reload_refused")) == 2, "the log tells of both")
    expect(f":{line}: " in _logged(daemon, "reload_refused")[1], "the log names the line")
    status = _status(daemon)
    expect(status["calls_max"] == 4000, f"a part of the bad file is in force: {status}")
    expect(status["configuration"]["last_reload_refused"], f"{status['configuration']}")
    expect(daemon.total("turnpike_config_last_reload_successful") == 0, "the metric says otherwise")
    daemon.config_path.unlink()
    expect("cannot be read" in _ctl(daemon, "reload", code=1), "a file that has gone")
    daemon.config_path.write_text(good, "utf-8")
    _ctl(daemon, "reload")
    expect(not _status(daemon)["configuration"]["last_reload_refused"], "it is right again")
    expect(daemon.total("turnpike_config_last_reload_successful") == 1, "the metric says otherwise")
    heard = inside.total("received")
    eventually(lambda: inside.total("received") > heard + 20, "the call goes on")


@case
def what_needs_a_restart_is_named_and_waits(scratch):
    daemon, _, _ = _running(scratch, sections={"media": {"port_min": 36000, "port_max": 38999}})
    _edit(daemon, "media", port_min=40000, port_max=42999, calls_max=9)
    checked = _ctl(daemon, "reload", "--check")
    expect("next restart of turnpiked" in checked and "media.port_min: 36000 -> 40000" in checked,
           checked)
    _ctl(daemon, "reload")
    status = _status(daemon)
    expect(status["calls_max"] == 9, "the hot key beside them is not in force")
    waiting = ["media.port_min", "media.port_max"]
    expect(status["configuration"]["waiting_for_restart"] == waiting, f"{status}")
    expect(daemon.total("turnpike_config_keys_waiting_for_restart") == 2, "the metric")
    expect('keys="media.port_min media.port_max"' in _logged(daemon, "restart_wanted")[0],
           "the log names them")
    call = _new_call(daemon)
    expect(call.offer().port < 39000, "the old range holds until the restart")
    daemon.stop()
    daemon.start()
    expect(_status(daemon)["configuration"]["waiting_for_restart"] == [], "nothing waits any more")
    expect(_new_call(daemon, 31100).offer().port >= 40000, "the new range holds")


@case
def advertised_addresses_and_rules_of_an_interface_change(scratch):
    daemon, _, _ = _running(scratch)
    _edit(daemon, "interface.outside", advertised=["203.0.113.9", "2001:db8:99::9"],
          srtp="required")
    _ctl(daemon, "reload")
    refused = _refused(_new_call(daemon))
    expect(refused and "RTP" in refused["error-reason"], f"plain RTP outside got {refused}")
    secure = Call(daemon.ng, Side(OUTSIDE, 31100, (SUITE,)), Side(INSIDE, 21100)).set_up()
    expect(secure.a.given.address == "203.0.113.9", f"told {secure.a.given.address}")


@case
def a_shorter_media_timeout_ends_calls_that_are_up(scratch):
    daemon, outside, inside = _running(scratch)
    outside.pause()
    inside.pause()
    _edit(daemon, "media", media_timeout_seconds=1)
    _ctl(daemon, "reload")
    eventually(lambda: _logged(daemon, "call_end"), "the silent call ends", timeout=20)


def _ng_over_tcp(token):
    """The first bytes that a connection with this token is answered, b"" when it is closed."""
    with socket.create_connection(NG_TCP, timeout=5) as link:
        link.sendall(f"Authorization: Bearer {token}\nd7:command4:pinge".encode())
        try:
            return link.recv(100)
        except ConnectionResetError:
            return b""


@case
def tokens_and_clients_of_ng_change(scratch):
    scratch.enter(topology())
    first, other = scratch.folder / "first", scratch.folder / "other"
    for path, token in ((first, TOKEN), (other, OTHER)):
        path.write_text(token + "\n", "ascii")
        path.chmod(0o600)
    daemon = Turnpiked(scratch, {"ng": {"tcp": "%s:%d" % NG_TCP, "token_file": first}})
    pong = b"d6:result4:ponge"
    expect(_ng_over_tcp(TOKEN) == pong, "the first token does not admit")
    _edit(daemon, "ng", token_file=str(other))
    _ctl(daemon, "reload")
    expect(_ng_over_tcp(OTHER) == pong, "the new token does not admit")
    expect(_ng_over_tcp(TOKEN) != pong, "the old token admits still")
    other.write_text("short\n", "ascii")
    expect("ng.token_file" in _ctl(daemon, "reload"), "a bad token file is not told")
    expect(_ng_over_tcp(OTHER) == pong, "the token read before does not admit any more")
    _edit(daemon, "ng", clients=["192.0.2.0/24"])
    _ctl(daemon, "reload")
    expect(_ng_over_tcp(OTHER) != pong, "who is no client is let in")


@case
def names_of_the_metrics_door_change(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)

    def asked_as(name):
        with socket.create_connection(("127.0.0.1", 9464), timeout=5) as link:
            link.sendall(f"GET /healthz HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            return link.recv(100).split(b" ")[1]
    expect(asked_as("edge.example") == b"403", "a foreign name is served")
    _edit(daemon, "api", host_names=["edge.example"])
    _ctl(daemon, "reload")
    expect(asked_as("edge.example") == b"200", "the new name is not served")


@case
def an_operator_ends_a_call_and_sets_the_log_level(scratch):
    daemon, _, inside = _running(scratch, 2)
    one = json.loads(_ctl(daemon, "--json", "sessions"))["sessions"][0]["call_id"]
    expect("SIP server was told nothing" in _ctl(daemon, "end", one), "what it did is not said")
    eventually(lambda: _logged(daemon, "call_end"), "the end is logged")
    end = _logged(daemon, "call_end")[0]
    expect(f"call_id={one} " in end and 'why="ended by the operator"' in end, end)
    operated = _logged(daemon, "api_operate")[0]
    expect("what=end_call" in operated and 'by="unix socket"' in operated, operated)
    expect("no such call" in _ctl(daemon, "end", one, code=1), "it has gone")
    expect(_status(daemon)["calls"] == 1, "the other call has gone too")
    expect(daemon.ng.exchange("delete", call_id=one, from_tag="x")["result"] == "ok",
           "the SIP server's delete of the call is no error")
    expect(_ctl(daemon, "log-level", "error").strip() == "error", "not set")
    ended = len(_logged(daemon, "call_end"))
    _new_call(daemon).set_up().delete()
    _ctl(daemon, "drain")
    eventually(lambda: "what=drain" in daemon.log_text(), "who operates is logged at every level")
    expect(len(_logged(daemon, "call_end")) == ended, "an info line was written")
    _ctl(daemon, "reload")
    expect(_ctl(daemon, "log-level").strip() == "info", "a reload sets what the file says")
    heard = inside.total("received")
    eventually(lambda: inside.total("received") > heard + 20, "the other call goes on")


@case
def an_edit_in_the_middle_never_mixes_files(scratch):
    """A file that is replaced again and again while it is read: each reload takes one whole."""
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    text = daemon.config_path.read_text("utf-8")
    for i in range(40):
        new = daemon.config_path.with_suffix(".new")
        limit = 10 + i
        new.write_text(text + f"[media]\ncalls_max = {limit}\nsessions_max = 4000\n", "utf-8")
        os.replace(new, daemon.config_path)
        daemon.signal(signal.SIGHUP)
    eventually(lambda: _status(daemon)["calls_max"] == 49, "the last one is in force")
    expect(not _logged(daemon, "reload_refused"), "one was refused")

@case
def a_limit_that_is_set_acts_until_the_next_reload(scratch):
    daemon, _, inside = _running(scratch, sections={"media": {"calls_max": 50}})

    def limit():
        listed = json.loads(_ctl(daemon, "--json", "limits"))["limits"]
        return next(one for one in listed if one["key"] == "media.calls_max")

    expect(limit() == {"key": "media.calls_max", "value": 50, "in_use": 1, "settable": True,
                       "configured": 50}, f"{limit()}")
    said = _ctl(daemon, "limits", "set", "media.calls_max", "1")
    expect("the file says 50: until the next reload" in said, said)
    eventually(lambda: _logged(daemon, "api_operate"), "who set it is logged")
    line = _logged(daemon, "api_operate")[0]
    for word in ("what=set_limit", "media.calls_max: 50 -> 1", 'by="unix socket"'):
        expect(word in line, f"no {word}: {line}")
    try:
        _new_call(daemon).set_up()
        expect(False, "a second call was accepted")
    except NgError as error:
        expect(error.reason == "Parallel session limit reached", f"refused with {error.reason!r}")
    heard = inside.total("received")
    eventually(lambda: inside.total("received") > heard + 25, "the running call goes on")

    for key, value, why in (("media.calls_max", "0", "media.calls_max is 0"),
                            ("media.sessions_max", "9", "restart"),
                            ("media.tick_us", "9", "no limit of this name")):
        said = _ctl(daemon, "limits", "set", key, value, code=1)
        expect(why in said, said)
    expect(limit()["value"] == 1, "what is refused changes nothing")

    _ctl(daemon, "limits", "set", "media.calls_max", "2")
    _new_call(daemon).set_up()
    said = _ctl(daemon, "reload")
    expect("media.calls_max: 2 -> 50" in said, said)
    expect((limit()["value"], limit()["configured"]) == (50, 50), f"{limit()}")
    _new_call(daemon, 32000).set_up()


run()
