"""A WebRTC end by GStreamer's webrtcbin (ICE by libnice, DTLS-SRTP by its own elements): plays a
tone and writes down what it hears. Two things in one file:

    python3 webrtcbin.py HZ TARGET [TURN]
                                      the program: requests on its input and answers on its output,
                                      a line of JSON each; requests: offer, answer, hear. With
                                      TURN, turn://USER:PASSWORD@HOST:PORT, by that server alone
    GstPhone                          the same, in a Place of a test

Hides: pipeline, promises and signals of GStreamer. Is not signalling: SDP comes and goes as text.
"""

import json
import queue
import sys
import threading

PYTHON = "/usr/bin/python3"  # that of the distribution, whose packages python3-gi and gir1.2-… are
PATIENCE_SECONDS = 20
PIPELINE = """
webrtcbin name=end bundle-policy=max-bundle
audiotestsrc is-live=true wave=sine freq={hz} ! audio/x-raw,rate=8000,channels=1
  ! mulawenc ! rtppcmupay min-ptime=20000000 max-ptime=20000000
  ! application/x-rtp,media=audio,encoding-name=PCMU,payload=0,clock-rate=8000 ! end.
"""


class _End:
    """The element, in the program."""

    def __init__(self, gst, webrtc, sdp, hz, target, turn=None):
        self.gst, self.webrtc, self.sdp, self.target = gst, webrtc, sdp, target
        self.pipeline = gst.parse_launch(PIPELINE.format(hz=hz))
        self.end = self.pipeline.get_by_name("end")
        if turn:
            self.end.set_property("turn-server", turn)
            self.end.set_property("ice-transport-policy", webrtc.WebRTCICETransportPolicy.RELAY)
        self.replies = []  # what they hold ends with them, whoever still uses it from Python
        self.gathered = threading.Event()
        self.wanted = threading.Event()
        self.end.connect("notify::ice-gathering-state", self._gathering)
        self.end.connect("on-negotiation-needed", lambda _: self.wanted.set())
        self.end.connect("pad-added", self._hears)
        self.pipeline.set_state(gst.State.PLAYING)

    def _gathering(self, end, _):
        if end.get_property("ice-gathering-state") == self.webrtc.WebRTCICEGatheringState.COMPLETE:
            self.gathered.set()

    def _hears(self, _, pad):
        if pad.direction != self.gst.PadDirection.SRC:
            return
        sink = self.gst.parse_bin_from_description(
            f"rtppcmudepay ! filesink location={self.target} buffer-mode=unbuffered async=false",
            True)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def _ask(self, signal, *arguments):
        """Emits a signal that answers by a promise; the reply's value of that name."""
        promise = self.gst.Promise.new()
        self.end.emit(signal, *arguments, promise)
        if promise.wait() != self.gst.PromiseResult.REPLIED:
            raise RuntimeError(f"{signal} was not answered")
        reply = promise.get_reply()
        self.replies.append((promise, reply))
        if reply is not None and reply.has_field("error"):
            raise RuntimeError(f"{signal}: {reply.get_value('error')}")
        return reply

    def _describe(self, kind, signal):
        description = self._ask(signal, None).get_value(kind)
        self._ask("set-local-description", description)
        if not self.gathered.wait(PATIENCE_SECONDS):
            raise RuntimeError("candidates were not gathered")
        return self.end.get_property("local-description").sdp.as_text()

    def _take(self, kind, text):
        _, message = self.sdp.SDPMessage.new_from_text(text)
        kinds = self.webrtc.WebRTCSDPType
        self._ask("set-remote-description", self.webrtc.WebRTCSessionDescription.new(
            kinds.OFFER if kind == "offer" else kinds.ANSWER, message))

    def offer(self):
        if not self.wanted.wait(PATIENCE_SECONDS):
            raise RuntimeError("there is nothing to negotiate")
        return self._describe("offer", "create-offer")

    def answer(self, text):
        self._take("offer", text)
        return self._describe("answer", "create-answer")

    def hear(self, text):
        self._take("answer", text)


def main():
    import gi
    gi.require_version("Gst", "1.0")
    gi.require_version("GstWebRTC", "1.0")
    gi.require_version("GstSdp", "1.0")
    from gi.repository import Gst, GstSdp, GstWebRTC
    Gst.init(None)
    end = _End(Gst, GstWebRTC, GstSdp, *sys.argv[1:])
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(getattr(end, name)(*arguments)), flush=True)


class GstPhone:
    """The program, in `place`; all that it says otherwise is in webrtcbin.log."""

    def __init__(self, scratch, place, hz, *turn):
        self.scratch = scratch
        self.heard = scratch.folder / "webrtcbin.ul"
        self.heard.touch()
        log_path = scratch.folder / "webrtcbin.log"
        with open(log_path, "wb") as log:
            self.process = scratch.spawn(
                *place.command(PYTHON, __file__, hz, self.heard, *turn),
                stdin=-1, stdout=-1, stderr=log, text=True)
        self.log_path = log_path
        self.answers = queue.SimpleQueue()
        reader = threading.Thread(target=self._read)
        reader.start()
        scratch.on_exit(reader.join)
        scratch.on_exit(self.process.kill)

    def _read(self):
        for line in self.process.stdout:
            self.answers.put(json.loads(line))
        self.answers.put(RuntimeError("the program has ended"))

    def _ask(self, name, *arguments):
        self.process.stdin.write(json.dumps([name, arguments]) + "\n")
        self.process.stdin.flush()
        try:
            answer = self.answers.get(timeout=PATIENCE_SECONDS + 5)
        except queue.Empty:
            answer = RuntimeError("no answer")
        if isinstance(answer, Exception):
            raise RuntimeError(f"webrtcbin, {name}: {answer}: {self.log_path.read_text()[-600:]}")
        return answer

    def offer(self):
        return self._ask("offer")

    def answer(self, sdp):
        return self._ask("answer", sdp)

    def hears_answer(self, sdp):
        self._ask("hear", sdp)


if __name__ == "__main__":
    main()
