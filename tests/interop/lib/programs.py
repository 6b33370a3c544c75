"""Media programs that are not ours: ffmpeg and GStreamer as senders and receivers of G.711.

What is sent is a file of known bytes, what is received lands in a file as bytes; `arrived` tells
whether one lies within the other, so that a verdict is about every byte of the payload.
"""

import base64
import pathlib
import random
import subprocess
import time

from . import case

NOISE_SECONDS = 60
RATE = 8000
SSRC = 305441741  # of every sender here: GStreamer's receiver must be told
_GST_CIPHER = {
    "AES_CM_128_HMAC_SHA1_80": ("aes-128-icm", "hmac-sha1-80", "hmac-sha1-80"),
    "AES_CM_128_HMAC_SHA1_32": ("aes-128-icm", "hmac-sha1-32", "hmac-sha1-80"),
    "AES_256_CM_HMAC_SHA1_80": ("aes-256-icm", "hmac-sha1-80", "hmac-sha1-80"),
    "AES_256_CM_HMAC_SHA1_32": ("aes-256-icm", "hmac-sha1-32", "hmac-sha1-80"),
    "AEAD_AES_128_GCM": ("aes-128-gcm", "null", "null"),
    "AEAD_AES_256_GCM": ("aes-256-gcm", "null", "null"),
}


def noise(folder, seed):
    """A file of G.711 bytes that repeat nowhere."""
    path = pathlib.Path(folder) / f"noise-{seed}.ul"
    path.write_bytes(random.Random(seed).randbytes(NOISE_SECONDS * RATE))
    return path


def arrived(sent, received, bytes_min=RATE):
    """How many bytes of `sent` the file `received` holds in one piece, if at least bytes_min,
    else 0. The last packet may still be on its way into the file."""
    try:
        data = pathlib.Path(received).read_bytes()
    except FileNotFoundError:
        return 0
    if len(data) < bytes_min:
        return 0
    return len(data) if data in pathlib.Path(sent).read_bytes() else 0


def _url(host):
    return f"[{host}]" if ":" in host else host


def _log(scratch, name):
    path = scratch.folder / f"{name}.log"
    return open(path, "ab")  # closed with the process's copy


def ffmpeg_send(scratch, place, source, local_port, to, suite=None, key=None):
    """Plays `source` in real time from `local_port` to `to` (address, port)."""
    scheme, crypto = "rtp", []
    if suite:
        scheme, crypto = "srtp", ["-srtp_out_suite", suite, "-srtp_out_params", key]
    with _log(scratch, f"ffmpeg-send-{local_port}") as log:
        return scratch.spawn(
            *place.command("ffmpeg", "-nostdin", "-loglevel", "warning", "-re", "-f", "mulaw",
                           "-ar", RATE, "-ac", 1, "-i", source, "-c", "copy", "-f", "rtp",
                           "-ssrc", SSRC, *crypto,
                           f"{scheme}://{_url(to[0])}:{to[1]}?localrtpport={local_port}"
                           f"&localrtcpport={local_port + 1}&pkt_size=172"),
            stdout=log, stderr=log)


def ffmpeg_receive(scratch, place, port, target, version=4, suite=None, key=None):
    """Writes the payload of what arrives at `port` into `target`."""
    crypto = f"a=crypto:1 {suite} inline:{key}\r\n" if suite else ""
    sdp = scratch.folder / f"receive-{port}.sdp"
    sdp.write_text(
        f"v=0\r\no=- 0 0 IN IP{version} {place.address(version)}\r\ns=-\r\n"
        f"c=IN IP{version} {place.address(version)}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/{'S' if suite else ''}AVP 0\r\na=rtpmap:0 PCMU/8000\r\n{crypto}")
    with _log(scratch, f"ffmpeg-receive-{port}") as log:
        return scratch.spawn(
            *place.command("ffmpeg", "-nostdin", "-loglevel", "warning", "-y",
                           "-protocol_whitelist", "file,udp,rtp,srtp,crypto",
                           "-probesize", 32, "-analyzeduration", 0, "-i", sdp, "-c", "copy",
                           "-flush_packets", 1, "-f", "mulaw", target),
            stdout=log, stderr=log)


def _gst_key(key):
    return base64.b64decode(key).hex()


def gst_send(scratch, place, source, local_port, to, suite=None, key=None):
    """As ffmpeg_send, by GStreamer; does every suite."""
    encrypt = []
    if suite:
        cipher, auth, rtcp_auth = _GST_CIPHER[suite]
        encrypt = ["!", "srtpenc", f"key={_gst_key(key)}", f"rtp-cipher={cipher}",
                   f"rtp-auth={auth}", f"rtcp-cipher={cipher}", f"rtcp-auth={rtcp_auth}"]
    local = place.address(6 if ":" in to[0] else 4)
    with _log(scratch, f"gst-send-{local_port}") as log:
        return scratch.spawn(
            *place.command("gst-launch-1.0", "-q", "filesrc", f"location={source}",
                           "!", "rawaudioparse", "format=mulaw", f"sample-rate={RATE}",
                           "num-channels=1", "!", "rtppcmupay", f"ssrc={SSRC}",
                           "min-ptime=20000000", "max-ptime=20000000", *encrypt,
                           "!", "udpsink", f"host={to[0]}",
                           f"port={to[1]}", f"bind-address={local}", f"bind-port={local_port}",
                           "sync=true"),
            stdout=log, stderr=log)


def gst_receive(scratch, place, port, target, version=4, suite=None, key=None):
    """As ffmpeg_receive, by GStreamer; does every suite."""
    caps, decrypt = "application/x-rtp", []
    if suite:
        cipher, auth, rtcp_auth = _GST_CIPHER[suite]
        caps = (f"application/x-srtp,ssrc=(uint){SSRC},srtp-key=(buffer){_gst_key(key)},"
                f"srtp-cipher=(string){cipher},srtp-auth=(string){auth},"
                f"srtcp-cipher=(string){cipher},srtcp-auth=(string){rtcp_auth}")
        decrypt = ["!", "srtpdec"]
    caps += ",media=(string)audio,clock-rate=(int)8000,encoding-name=(string)PCMU,payload=(int)0"
    with _log(scratch, f"gst-receive-{port}") as log:
        return scratch.spawn(
            *place.command("gst-launch-1.0", "-q", "udpsrc", f"address={place.address(version)}",
                           f"port={port}", f"caps={caps}", *decrypt, "!", "rtppcmudepay", "!",
                           "filesink", f"location={target}", "buffer-mode=unbuffered"),
            stdout=log, stderr=log)


def wait_arrived(sent, received, seconds=1.0, timeout=10.0):
    """Waits until `seconds` of audio have come through unchanged; gives the bytes."""
    def explain():
        path = pathlib.Path(received)
        size = path.stat().st_size if path.exists() else 0
        return f"{received} holds {seconds:g} s of {pathlib.Path(sent).name} ({size} bytes there)"
    return case.eventually(lambda: arrived(sent, received, int(seconds * RATE)), explain, timeout,
                           every=0.05)


def wait_bound(side):
    """Waits until some program listens on the side's RTP port."""
    def bound():
        sockets = subprocess.run(
            side.place.command("ss", "-Huln", "sport", "=", f":{side.port}"),
            capture_output=True, text=True, check=True).stdout
        return bool(sockets.strip())
    case.eventually(bound, f"a program listens on {side.address} port {side.port}")


def wait_silent(target, seconds=0.5, timeout=5.0):
    """Waits until the file has not grown for `seconds`."""
    path, seen = pathlib.Path(target), [-1, 0.0]

    def silent():
        size = path.stat().st_size
        if size != seen[0]:
            seen[:] = [size, time.monotonic()]
        return time.monotonic() - seen[1] >= seconds
    case.eventually(silent, f"{path.name} stops growing", timeout)


FFMPEG = (ffmpeg_send, ffmpeg_receive)
GSTREAMER = (gst_send, gst_receive)


def play(scratch, sender, receiver, send, receive, seed):
    """The program of `sender` (a call.Side whose call is up) plays, that of `receiver` listens;
    passes when a second of audio came through unchanged. Both end afterwards."""
    source = noise(scratch.folder, seed)
    target = scratch.folder / f"heard-{seed}.ul"
    suite, key, _ = sender.chosen() or (None, None, None)
    heard_suite, _, heard_key = receiver.chosen() or (None, None, None)
    listening = receive(scratch, receiver.place, receiver.port, target, receiver.version,
                        heard_suite, heard_key)
    wait_bound(receiver)
    playing = send(scratch, sender.place, source, sender.port, sender.given.rtp, suite, key)
    try:
        size = wait_arrived(source, target)
    finally:
        end(playing, listening)
    case.note(f"{size} bytes unchanged from {sender.place.name} ({suite or 'clear'}) "
              f"to {receiver.place.name} ({heard_suite or 'clear'})")


def end(*processes):
    """Ends programs before the case's end, so that their ports are free for the next ones."""
    for process in processes:
        case.end_group(process)
