"""Calls with a real browser (Chromium): ICE, DTLS-SRTP and its SDP, against plain RTP inside and
against another browser. The browser's own statistics, and tones at both ends, are the judges.
"""

import re
import signal
import subprocess
import threading
import time

from lib import programs, rtp
from lib.call import Side
from lib.case import case, eventually, expect, note, run
from lib.chromium import Browser
from lib.network import INSIDE, OUTSIDE, topology
from lib.turnpiked import Holder, Turnpiked

import tone  # of deploy/lib: lib.case puts it on the module path

FROM_BROWSER_HZ, FROM_INSIDE_HZ = 1000, 440

# What every page here can do. `peers` holds RTCPeerConnections by name.
PAGE = """
window.peers = {};
window.audio = new AudioContext();
window.toneTrack = (hz) => {
  const oscillator = new OscillatorNode(audio, {frequency: hz});
  const target = audio.createMediaStreamDestination();
  oscillator.connect(target);
  oscillator.start();
  return target.stream.getAudioTracks()[0];
};
window.videoTrack = () => {
  const canvas = document.createElement('canvas');
  canvas.width = 320; canvas.height = 240;
  const context = canvas.getContext('2d');
  let turn = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${turn += 7} 90% 50%)`;
    context.fillRect(0, 0, 320, 240);
  }, 40);
  return canvas.captureStream(25).getVideoTracks()[0];
};
window.newPeer = (name, hz, video) => {
  const peer = peers[name] = new RTCPeerConnection();
  peer.addTrack(toneTrack(hz));
  if (video) peer.addTrack(videoTrack());
  peer.heard = {};
  peer.ontrack = ({track}) => {
    const stream = new MediaStream([track]);
    // Chromium decodes only what some element plays.
    const element = document.createElement(track.kind);
    element.srcObject = stream; element.muted = true; element.play();
    if (track.kind != 'audio') return;
    const analyser = new AnalyserNode(audio, {fftSize: 8192});
    audio.createMediaStreamSource(stream).connect(analyser);
    peer.analyser = analyser;
  };
  return peer;
};
window.gathered = (peer) => new Promise(done => {
  const look = () => peer.iceGatheringState == 'complete' && done(peer.localDescription.sdp);
  peer.addEventListener('icegatheringstatechange', look);
  look();
});
window.loudest = (name) => {
  const {analyser} = peers[name];
  if (!analyser) return 0;
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  const best = bins.indexOf(Math.max(...bins));
  return bins[best] < -60 ? 0 : best * audio.sampleRate / analyser.fftSize;
};
await audio.resume();
"""
OFFER = """
const peer = newPeer(a, b, c);
await peer.setLocalDescription(await peer.createOffer());
return await gathered(peer);
"""
ANSWER = """
const peer = newPeer(a, b, c);
await peer.setRemoteDescription({type: 'offer', sdp: d});
await peer.setLocalDescription(await peer.createAnswer());
return await gathered(peer);
"""
HEAR_ANSWER = "await peers[a].setRemoteDescription({type: 'answer', sdp: b});"
RE_OFFER = """
await peers[a].setLocalDescription(await peers[a].createOffer({iceRestart: b}));
return await gathered(peers[a]);
"""
STATE = "return peers[a].connectionState"
STATISTICS = """
const found = {};
for (const report of (await peers[a].getStats()).values()) {
  if (report.type == 'inbound-rtp' || report.type == 'outbound-rtp')
    found[report.type + ' ' + report.kind] = report;
  if (report.type == 'transport') found.transport = report;
}
return found;
"""


class Page:
    """A browser's window with the functions above."""

    def __init__(self, scratch):
        self.browser = Browser(scratch, OUTSIDE)
        self.browser.run(PAGE)

    def offer(self, name, hz, video=False):
        return self.browser.run(OFFER, name, hz, video)

    def answer(self, name, hz, sdp, video=False):
        return self.browser.run(ANSWER, name, hz, video, sdp)

    def hears_answer(self, name, sdp):
        self.browser.run(HEAR_ANSWER, name, sdp)

    def re_offer(self, name, ice_restart):
        return self.browser.run(RE_OFFER, name, ice_restart)

    def state(self, name):
        return self.browser.run(STATE, name)

    def connects(self, name):
        eventually(lambda: self.state(name) == "connected",
                   lambda: f"{name} is connected, not {self.state(name)}", 15, every=0.1)

    def statistics(self, name):
        return self.browser.run(STATISTICS, name)

    def hears_tone(self, name, hz):
        eventually(lambda: abs(self.browser.run("return loudest(a)", name) - hz) < 15,
                   lambda: f"{name} hears {hz} Hz, not "
                           f"{self.browser.run('return loudest(a)', name):.0f}", 15, every=0.2)


class BrowserCall:
    """Offer and answer between two ends over NG, each direction a place's interface."""

    def __init__(self, daemon, name):
        self.daemon, self.call_id = daemon, f"browser-{name}"

    def offer(self, sdp, places, **flags):
        reply = self.daemon.ng.request(
            "offer", sdp=sdp, call_id=self.call_id, from_tag="a",
            direction=[{"tp-out": "outside", "tp-in": "inside"}[place.name] for place in places],
            replace=["origin", "session-connection"], received_from=["IP4", places[0].v4], **flags)
        return reply["sdp"]

    def answer(self, sdp, place, **flags):
        reply = self.daemon.ng.request(
            "answer", sdp=sdp, call_id=self.call_id, from_tag="a", to_tag="b",
            replace=["origin", "session-connection"], received_from=["IP4", place.v4], **flags)
        return reply["sdp"]

    def query(self):
        return self.daemon.ng.request("query", call_id=self.call_id)

    def delete(self):
        self.daemon.ng.request("delete", call_id=self.call_id, from_tag="a")


class InsidePhone:
    """A phone inside that speaks plain G.711 from and to one port: plays a tone, writes down what
    it hears."""

    def __init__(self, scratch, port=20000):
        self.scratch = scratch
        self.side = Side(INSIDE, port)
        self.heard = scratch.folder / f"heard-{port}.ul"
        self.heard.touch()

    def talks(self):
        source = self.scratch.folder / "tone.ul"
        subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i",
                        f"sine=frequency={FROM_INSIDE_HZ}:duration=1", "-ar", "8000", "-f",
                        "mulaw", str(source)], check=True)
        said = source.read_bytes()[:8000]
        link = rtp.RtpSocket(self.scratch, self.side)
        hung_up = threading.Event()

        def speak():
            sequence = 0
            begin = time.monotonic()
            while not hung_up.is_set():
                at = sequence * 160 % len(said)
                link.send(rtp.packet(sequence, said[at:at + 160]))
                sequence += 1
                hung_up.wait(max(0, begin + sequence * 0.02 - time.monotonic()))

        def listen():
            with open(self.heard, "ab", buffering=0) as heard:
                while not hung_up.is_set():
                    data = link.receive(0.2)
                    if data and data[1] & 0x7F == 0:
                        heard.write(data[rtp.HEADER_BYTES:])

        threads = [threading.Thread(target=speak), threading.Thread(target=listen)]
        for thread in threads:
            thread.start()
            self.scratch.on_exit(thread.join)
        self.scratch.on_exit(hung_up.set)

    def last_second(self):
        """What the last second of what was heard holds (tone.ToneReport)."""
        wave = self.scratch.folder / "heard.wav"
        data = self.heard.read_bytes()[-8000:] or b"\xff" * 800
        subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "mulaw", "-ar",
                        "8000", "-ac", "1", "-i", "-", str(wave)], input=data, check=True)
        return tone.analyse(str(wave))

    def hears_tone(self, hz):
        eventually(lambda: self.last_second().holds(hz, 0.8),
                   lambda: f"the phone inside hears {hz} Hz: {self.last_second()}", 15, every=0.2)

    def hears_nothing(self):
        programs.wait_silent(self.heard)


def call_from_browser(scratch, daemon, page):
    """The browser calls the phone inside; both hear each other at the end."""
    phone = InsidePhone(scratch)
    call = BrowserCall(daemon, "out-in")
    phone.side.hears(call.offer(page.offer("caller", FROM_BROWSER_HZ), (OUTSIDE, INSIDE),
                                ICE="remove", transport_protocol="RTP/AVP",
                                rtcp_mux=["demux"]))
    given = phone.side.given
    expect(given.profile == "RTP/AVP", f"the phone inside was offered {given.profile}")
    for word in ("fingerprint", "ice-", "candidate", "setup", "rtcp-mux"):
        expect(f"a={word}" not in given.text, f"the phone inside was told a={word}: {given.text}")
    answer = call.answer(phone.side.sdp(), INSIDE)
    phone.talks()
    page.hears_answer("caller", answer)
    page.connects("caller")
    phone.hears_tone(FROM_BROWSER_HZ)
    page.hears_tone("caller", FROM_INSIDE_HZ)
    return call, phone


@case
def a_browser_calls_a_plain_phone_inside(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    page = Page(scratch)
    call, _ = call_from_browser(scratch, daemon, page)
    seen = page.statistics("caller")
    transport = seen["transport"]
    note(f"{transport['tlsVersion']} {transport.get('dtlsCipher')} {transport['srtpCipher']}")
    expect(transport["tlsVersion"] == "FEFD", f"DTLS version {transport['tlsVersion']}")
    expect("GCM" in transport["srtpCipher"], f"SRTP by {transport['srtpCipher']}")
    expect(seen["inbound-rtp audio"]["packetsLost"] == 0,
           f"lost {seen['inbound-rtp audio']['packetsLost']}")
    expect(daemon.total("turnpike_relay_dtls_handshakes_total", result="established") == 1,
           "one handshake was counted")
    call.delete()


@case
def a_plain_phone_inside_calls_a_browser(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    page = Page(scratch)
    phone = InsidePhone(scratch)
    call = BrowserCall(daemon, "in-out")
    offer = call.offer(phone.side.sdp(), (INSIDE, OUTSIDE), ICE="force",
                       transport_protocol="UDP/TLS/RTP/SAVPF", rtcp_mux=["offer"])
    answer = page.answer("callee", FROM_BROWSER_HZ, offer)
    phone.side.hears(call.answer(answer, OUTSIDE))
    phone.talks()
    page.connects("callee")
    phone.hears_tone(FROM_BROWSER_HZ)
    page.hears_tone("callee", FROM_INSIDE_HZ)


@case
def two_browsers_with_audio_and_video_talk_through_the_relay(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    page = Page(scratch)
    call = BrowserCall(daemon, "both")
    offer = call.offer(page.offer("caller", 1000, True), (OUTSIDE, OUTSIDE))
    answer = call.answer(page.answer("callee", 440, offer, True), OUTSIDE)
    page.hears_answer("caller", answer)
    for name, hz in (("caller", 440), ("callee", 1000)):
        page.connects(name)
        page.hears_tone(name, hz)
        eventually(lambda: page.statistics(name).get("inbound-rtp video", {}).get(
            "framesDecoded", 0) > 25, f"{name} sees moving pictures", 20, every=0.2)
    expect(daemon.total("turnpike_relay_dtls_handshakes_total", result="established") == 4,
           "a handshake for each m-line of each browser")
    expect(daemon.sessions() == 2, f"{daemon.sessions()} sessions")


@case
def an_ice_restart_and_an_ordinary_re_invite_keep_the_call(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    page = Page(scratch)
    call, phone = call_from_browser(scratch, daemon, page)
    for restart in (False, True):
        # The phone inside answers a re-INVITE as it answered the first.
        phone.side.hears(call.offer(
            page.re_offer("caller", restart), (OUTSIDE, INSIDE), to_tag="b", ICE="remove",
            transport_protocol="RTP/AVP", rtcp_mux=["demux"]))
        page.hears_answer("caller", call.answer(phone.side.sdp(), INSIDE))
        page.connects("caller")
        before = phone.heard.stat().st_size
        eventually(lambda: phone.heard.stat().st_size > before + 8000, "the phone hears on")
        phone.hears_tone(FROM_BROWSER_HZ)
        page.hears_tone("caller", FROM_INSIDE_HZ)
    expect(daemon.total("turnpike_relay_dtls_handshakes_total", result="established") == 1,
           "the association is the first one still")


@case
def a_certificate_that_signalling_does_not_name_gets_no_media(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    page = Page(scratch)
    phone = InsidePhone(scratch)
    call = BrowserCall(daemon, "forged")
    offer = page.offer("caller", FROM_BROWSER_HZ)
    forged = re.sub(r"(a=fingerprint:sha-256 )..:..", r"\g<1>00:00", offer)
    expect(forged != offer, "the offer has a fingerprint")
    phone.side.hears(call.offer(forged, (OUTSIDE, INSIDE), ICE="remove",
                                transport_protocol="RTP/AVP", rtcp_mux=["demux"]))
    answer = call.answer(phone.side.sdp(), INSIDE)
    phone.talks()
    page.hears_answer("caller", answer)
    eventually(lambda: daemon.total("turnpike_relay_dtls_handshakes_total",
                                    result="fingerprint_mismatch") >= 1,
               "the mismatch is counted", 15)
    seen = page.statistics("caller")
    expect(seen.get("inbound-rtp audio", {}).get("packetsReceived", 0) == 0,
           "the browser got media")
    expect(phone.heard.stat().st_size == 0,
           "the phone inside got media")
    leg = call.query()
    expect(leg, "the call is still there")


@case
def a_browser_call_survives_kill_9(scratch):
    scratch.enter(topology())
    holder = Holder(scratch)
    daemon = Turnpiked(scratch, holder=holder)
    page = Page(scratch)
    _, phone = call_from_browser(scratch, daemon, page)
    daemon.kill()
    daemon.start()
    before = phone.heard.stat().st_size
    # Longer than a browser waits for answers to its consent checks before it gives up a pair.
    eventually(lambda: phone.heard.stat().st_size > before + 20 * 8000, "20 s more of it", 40)
    expect(page.state("caller") == "connected", f"the browser is {page.state('caller')}")
    phone.hears_tone(FROM_BROWSER_HZ)
    page.hears_tone("caller", FROM_INSIDE_HZ)


@case
def a_stopped_daemon_is_noticed_by_both_ends(scratch):
    scratch.enter(topology())
    daemon = Turnpiked(scratch)
    page = Page(scratch)
    _, phone = call_from_browser(scratch, daemon, page)
    daemon.signal(signal.SIGSTOP)
    phone.hears_nothing()
    eventually(lambda: page.state("caller") in ("disconnected", "failed"),
               "the browser misses us", 30, every=0.5)
    daemon.signal(signal.SIGCONT)
    page.connects("caller")
    phone.hears_tone(FROM_BROWSER_HZ)


run()
