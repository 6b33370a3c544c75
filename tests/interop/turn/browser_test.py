"""Chromium whose only way out is the TURN server: a data channel between two pages' ends, both by
relayed addresses, and nothing without the server's credentials.
"""
# time limit: 120 s

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib import turn  # noqa: E402
from lib.case import case, expect, note, run  # noqa: E402
from lib.chromium import Browser  # noqa: E402

_CONNECT = """
const config = {iceServers: [{urls: a, username: b, credential: c}], iceTransportPolicy: 'relay'};
const [one, two] = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
const found = [];
for (const [from, to] of [[one, two], [two, one]]) {
  from.onicecandidate = ({candidate}) => {
    if (!candidate) return;
    if (candidate.candidate) found.push(candidate.candidate);
    to.addIceCandidate(candidate);
  };
}
const channel = one.createDataChannel('test');
const heard = new Promise(resolve => {
  two.ondatachannel = event => { event.channel.onmessage = message => resolve(message.data); };
});
channel.onopen = () => channel.send('through the relay');
await one.setLocalDescription(await one.createOffer());
await two.setRemoteDescription(one.localDescription);
await two.setLocalDescription(await two.createAnswer());
await one.setRemoteDescription(two.localDescription);
const late = new Promise(resolve => setTimeout(() => resolve(''), d));
const message = await Promise.race([heard, late]);
one.close();
two.close();
return {message, found};
"""


def _connect(browser, password, milliseconds, server=":3478?transport=udp", scheme="turn:"):
    return browser.run(_CONNECT, scheme + turn.CLIENT.host_v4 + server, turn.USER, password,
                       milliseconds)


def _expect_message(result):
    note(f"candidates: {result['found']}")
    expect(result["message"] == "through the relay", f"{result}")
    expect(result["found"] and all("typ relay" in one for one in result["found"]), f"{result}")


@case
def data_channel_by_relayed_addresses_only(scratch):
    scratch.enter(turn.topology())
    daemon = turn.server(scratch)
    browser = Browser(scratch, turn.CLIENT)
    browser.open("data:text/html,<title>turn</title>")
    _expect_message(_connect(browser, turn.PASSWORD, 20000))
    expect(daemon.total("turnpike_turn_packets_total", to="peer") > 0, "nothing was relayed")
    wrong = _connect(browser, "a wrong password", 5000)
    expect(not wrong["message"] and not wrong["found"], f"{wrong}")


@case
def data_channel_where_no_udp_gets_through(scratch):
    scratch.enter(turn.topology())
    daemon = turn.server(scratch, turn=turn.identity(scratch.folder))
    turn.let_no_udp_out(turn.CLIENT)
    browser = Browser(scratch, turn.CLIENT, ["--ignore-certificate-errors"])
    browser.open("data:text/html,<title>turn</title>")
    _expect_message(_connect(browser, turn.PASSWORD, 20000, ":3478?transport=tcp"))
    expect(daemon.total("turnpike_turn_packets_total", to="peer", transport="tcp") > 0,
           "nothing was relayed for a client over TCP")
    _expect_message(_connect(browser, turn.PASSWORD, 20000, f":{turn.TLS_PORT}?transport=tcp",
                             "turns:"))
    expect(daemon.total("turnpike_turn_packets_total", to="peer", transport="tls") > 0,
           "nothing was relayed for a client over TLS")
    by_udp = _connect(browser, turn.PASSWORD, 3000)
    expect(not by_udp["message"], "UDP gets through: the test proves nothing")


run()
