"""A web phone and the phone inside that it talks to: a page of Chromium that plays and recognises
tones, and an endpoint of plain RTP that does the same.

Hides: the page's JavaScript, WebRTC, G.711. Is not signalling: descriptions come and go
as text.
"""

import re
import struct
import subprocess
import threading
import time

from . import programs, rtp
from .call import Side, parse
from .case import eventually
from .chromium import Browser
from .network import INSIDE, OUTSIDE

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
  const peer = new RTCPeerConnection(window.configuration);
  peer.addTrack(toneTrack(hz));
  if (video) peer.addTrack(videoTrack());
  return listenTo(name, peer);
};
// Keeps it by its name, and plays and analyses what it will receive.
window.listenTo = (name, peer) => {
  peers[name] = peer;
  peer.addEventListener('track', ({track}) => {
    const stream = new MediaStream([track]);
    // Chromium decodes only what some element plays.
    const element = document.createElement(track.kind);
    element.srcObject = stream; element.muted = true; element.play();
    if (track.kind != 'audio') return;
    const analyser = new AnalyserNode(audio, {fftSize: 8192});
    audio.createMediaStreamSource(stream).connect(analyser);
    peer.analyser = analyser;
  });
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
ADD_VIDEO = "peers[a].addTrack(videoTrack());"
ADD_AUDIO = "peers[a].addTrack(toneTrack(b));"
STOP = """
peers[a].getTransceivers().find(t => !t.stopped && t.receiver.track.kind == b).stop();
"""
RE_OFFER = """
await peers[a].setLocalDescription(await peers[a].createOffer({iceRestart: b}));
return await gathered(peers[a]);
"""
STATE = "return peers[a].connectionState"
DTLS_STATE = "return peers[a].getSenders()[0].transport.state"
HANG_UP = "peers[a].close()"
STATISTICS = """
const found = {framesDecoded: 0};
for (const report of (await peers[a].getStats()).values()) {
  // Of m-lines that ended too, as long as they are reported.
  if (report.type == 'inbound-rtp') found.framesDecoded += report.framesDecoded || 0;
  if (report.type == 'inbound-rtp' || report.type == 'outbound-rtp')
    found[report.type + ' ' + report.kind] = report;
  if (report.type == 'transport') found.transport = report;
}
return found;
"""
SELECTED = """
const reports = [...(await peers[a].getStats()).values()];
const transport = reports.find(report => report.type == 'transport');
const pair = reports.find(report => report.id == transport.selectedCandidatePairId);
return reports.find(report => report.id == pair.remoteCandidateId).address;
"""


class Page:
    """A browser's window with the functions above."""

    def __init__(self, scratch, url="", place=OUTSIDE, switches=()):
        """`url`: the page whose origin it has; "": none."""
        self.browser = Browser(scratch, place, switches)
        if url:
            self.browser.open(url)
        self.browser.run(PAGE)

    def configure(self, **configuration):
        """What new peers get as their RTCConfiguration."""
        self.browser.run("window.configuration = a", configuration)

    def offer(self, name, hz, video=False):
        return self.browser.run(OFFER, name, hz, video)

    def answer(self, name, hz, sdp, video=False):
        return self.browser.run(ANSWER, name, hz, video, sdp)

    def hears_answer(self, name, sdp):
        self.browser.run(HEAR_ANSWER, name, sdp)

    def re_offer(self, name, ice_restart):
        return self.browser.run(RE_OFFER, name, ice_restart)

    def adds_video(self, name):
        """With its next offer."""
        self.browser.run(ADD_VIDEO, name)

    def adds_audio(self, name, hz):
        """With its next offer."""
        self.browser.run(ADD_AUDIO, name, hz)

    def stops(self, name, kind):
        """Its "audio" or "video", with its next offer."""
        self.browser.run(STOP, name, kind)

    def sees_pictures(self, name):
        """25 more of them than up to now."""
        def decoded():
            return self.statistics(name)["framesDecoded"]
        before = decoded()
        eventually(lambda: decoded() > before + 25, lambda: f"{name} sees moving pictures: "
                   f"{before} and then {decoded()}", 20, every=0.2)

    def state(self, name):
        return self.browser.run(STATE, name)

    def dtls_state(self, name):
        return self.browser.run(DTLS_STATE, name)

    def hangs_up(self, name):
        """As a tab that is closed does: without a word to signalling."""
        self.browser.run(HANG_UP, name)

    def connects(self, name):
        eventually(lambda: self.state(name) == "connected",
                   lambda: f"{name} is connected, not {self.state(name)}", 15, every=0.1)

    def selected(self, name):
        """The address of ours that the browser sends to."""
        return self.browser.run(SELECTED, name)

    def statistics(self, name):
        return self.browser.run(STATISTICS, name)

    def hears_tone(self, name, hz):
        eventually(lambda: abs(self.browser.run("return loudest(a)", name) - hz) < 15,
                   lambda: f"{name} hears {hz} Hz, not "
                           f"{self.browser.run('return loudest(a)', name):.0f}", 15, every=0.2)


def last_second(scratch, heard):
    """What the last second of a file of G.711 holds (tone.ToneReport)."""
    wave = scratch.folder / "heard.wav"
    data = heard.read_bytes()[-8000:] or b"\xff" * 800
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "mulaw", "-ar", "8000",
                    "-ac", "1", "-i", "-", str(wave)], input=data, check=True)
    return tone.analyse(str(wave))


def hears_tone(scratch, heard, hz, who):
    """Waits until the last second of what `who` writes into `heard` is this tone."""
    eventually(lambda: last_second(scratch, heard).holds(hz, 0.8),
               lambda: f"{who} hears {hz} Hz: {last_second(scratch, heard)}", 15, every=0.2)


class InsidePhone:
    """A phone inside that speaks plain G.711 from and to one port: plays a tone, writes down what
    it hears."""

    def __init__(self, scratch, port=20000, version=4):
        self.scratch = scratch
        self.side = Side(INSIDE, port, version=version)
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

    def hears_tone(self, hz):
        hears_tone(self.scratch, self.heard, hz, "the phone inside")

    def hears_nothing(self):
        programs.wait_silent(self.heard)


class VideoPhone(InsidePhone):
    """An InsidePhone with another port, for VP8: whoever calls it sees himself, under another
    SSRC, and is asked for a whole picture each second."""

    SSRC = 0x0DD

    def __init__(self, scratch, port=20000):
        super().__init__(scratch, port)
        self.video = Side(INSIDE, port + 10, media="video")
        self.video_type = 96
        self.pictures_bytes = 0

    def hears(self, text):
        for side, media in zip((self.side, self.video), parse(text)):
            if media.port:
                side.given = media
        offered = re.search(r"(?m)^a=rtpmap:(\d+) VP8/90000", text)
        self.video_type = int(offered.group(1)) if offered else 96

    def sdp(self, audio=True, video=True):
        """With an m-line for each, refused or not."""
        text = self.side.sdp()
        if not audio:
            text = text.replace(f"m=audio {self.side.port}", "m=audio 0")
        port = self.video.port if video else 0
        return (text + f"m=video {port} RTP/AVPF {self.video_type}\r\n"
                f"a=rtpmap:{self.video_type} VP8/90000\r\n"
                f"a=rtcp-fb:{self.video_type} nack pli\r\n")

    def shows(self):
        """Sends pictures back from now on."""
        media = rtp.RtpSocket(self.scratch, self.video)
        control = rtp.RtpSocket(self.scratch, self.video, self.video.port + 1)
        hung_up = threading.Event()

        def echo():
            asked = 0
            while not hung_up.is_set():
                data = media.receive(0.2)
                if not data or data[1] & 0x7F != self.video_type:
                    continue
                self.pictures_bytes += len(data)
                media.send(data[:8] + struct.pack("!I", self.SSRC) + data[12:])
                if time.monotonic() < asked + 1:
                    continue
                asked = time.monotonic()
                sender = struct.unpack_from("!I", data, 8)[0]
                control.send(struct.pack("!BBHIBBHII", 0x80, 201, 1, self.SSRC, 0x81, 206, 2,
                                         self.SSRC, sender), self.video.given.rtcp)

        thread = threading.Thread(target=echo)
        thread.start()
        self.scratch.on_exit(thread.join)
        self.scratch.on_exit(hung_up.set)
