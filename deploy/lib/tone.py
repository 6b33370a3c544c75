"""Tones in wave files: make one, and say which one a recording holds.

Hides: sample formats and the arithmetic (Goertzel's algorithm over short windows).
Not: audio quality. A verdict is "this tone, for so long, this clear", nothing finer.
"""

import array
import dataclasses
import math
import sys
import wave

WINDOW_MS = 40  # long enough to tell 440 Hz from 480 Hz, short enough to see a gap of 100 ms


@dataclasses.dataclass(frozen=True)
class ToneReport:
    """What a recording holds."""

    frequency_hz: float  # strongest tone of the voiced windows; 0.0 when all is silence
    voiced_seconds: float  # time above the silence level
    tone_seconds: float  # time in which the wanted tone (or the strongest) dominates
    total_seconds: float
    purity: float  # share of the voiced energy that lies in that tone, 0.0-1.0

    def holds(self, frequency_hz: float, at_least_seconds: float = 1.0) -> bool:
        """Is this the tone, within 2 % and 5 Hz, clear and long enough?"""
        tolerance = max(5.0, 0.02 * frequency_hz)
        return (
            abs(self.frequency_hz - frequency_hz) <= tolerance
            and self.tone_seconds >= at_least_seconds
            and self.purity >= 0.6
        )


def write_tone(path: str, frequency_hz: float, seconds: float, rate_hz: int = 8000) -> None:
    """Writes a mono 16-bit wave file with one sine tone at a quarter of full scale."""
    period = rate_hz  # one second repeats without a step when the frequency is a whole number
    second = array.array(
        "h",
        (
            round(8191 * math.sin(2 * math.pi * frequency_hz * i / rate_hz))
            for i in range(period)
        ),
    )
    if sys.byteorder == "big":
        second.byteswap()
    with wave.open(path, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        for _ in range(max(1, math.ceil(seconds))):
            out.writeframesraw(second.tobytes())


def read_samples(path: str) -> tuple[list[float], int]:
    """Samples in -1.0..1.0 of the first channel, and the rate. A file that is still being
    written (header says 0 frames) is read to its end."""
    with open(path, "rb") as raw:
        data = raw.read()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"{path}: not a wave file")
    position, channels, rate, bits, body = 12, 1, 8000, 16, b""
    while position + 8 <= len(data):
        kind, size = data[position : position + 4], int.from_bytes(
            data[position + 4 : position + 8], "little"
        )
        chunk = data[position + 8 : position + 8 + size]
        if kind == b"fmt ":
            channels = int.from_bytes(chunk[2:4], "little")
            rate = int.from_bytes(chunk[4:8], "little")
            bits = int.from_bytes(chunk[14:16], "little")
        elif kind == b"data":
            body = chunk if chunk else data[position + 8 :]
            break
        position += 8 + size + (size & 1)
    if bits != 16:
        raise ValueError(f"{path}: {bits} bits a sample, only 16 are understood")
    samples = array.array("h")
    samples.frombytes(body[: len(body) // (2 * channels) * 2 * channels])
    if sys.byteorder == "big":
        samples.byteswap()
    return [value / 32768.0 for value in samples[::channels]], rate


def _goertzel(window: list[float], frequency_hz: float, rate_hz: int) -> float:
    """Share of the window's energy at this frequency, 0.0-1.0."""
    coefficient = 2.0 * math.cos(2.0 * math.pi * frequency_hz / rate_hz)
    before, last = 0.0, 0.0
    for value in window:
        before, last = last, value + coefficient * last - before
    power = before * before + last * last - coefficient * before * last
    energy = sum(value * value for value in window)
    return min(1.0, 2.0 * power / (len(window) * energy)) if energy > 0 else 0.0


def _frequency_by_crossings(window: list[float], rate_hz: int) -> float:
    """Frequency between the first and the last rising zero crossing, interpolated."""
    crossings = [
        i + window[i] / (window[i] - window[i + 1])
        for i in range(len(window) - 1)
        if window[i] < 0.0 <= window[i + 1]
    ]
    if len(crossings) < 2:
        return 0.0
    return (len(crossings) - 1) * rate_hz / (crossings[-1] - crossings[0])


def analyse(path: str, silence: float = 0.01) -> ToneReport:
    """Finds the dominant tone of a recording.

    A window counts as voiced above `silence` (root mean square, full scale 1.0). The frequency
    is the median over voiced windows; purity is checked with Goertzel at that frequency.
    """
    samples, rate = read_samples(path)
    size = rate * WINDOW_MS // 1000
    windows = [samples[i : i + size] for i in range(0, len(samples) - size + 1, size)]
    voiced = [w for w in windows if math.sqrt(sum(v * v for v in w) / size) > silence]
    total = len(samples) / rate
    if not voiced:
        return ToneReport(0.0, 0.0, 0.0, total, 0.0)
    guesses = sorted(_frequency_by_crossings(w, rate) for w in voiced)
    frequency = guesses[len(guesses) // 2]
    shares = [_goertzel(w, frequency, rate) for w in voiced]
    with_tone = sum(1 for share in shares if share >= 0.8)
    seconds = WINDOW_MS / 1000.0
    return ToneReport(
        frequency_hz=frequency,
        voiced_seconds=len(voiced) * seconds,
        tone_seconds=with_tone * seconds,
        total_seconds=total,
        purity=sum(shares) / len(shares),
    )


def tone_windows(path: str, frequency_hz: float) -> list[bool]:
    """For each 40 ms of the recording: is the tone there? Shows when it began and stopped."""
    samples, rate = read_samples(path)
    size = rate * WINDOW_MS // 1000
    result = []
    for i in range(0, len(samples) - size + 1, size):
        window = samples[i : i + size]
        loud = math.sqrt(sum(v * v for v in window) / size) > 0.01
        result.append(loud and _goertzel(window, frequency_hz, rate) >= 0.8)
    return result
