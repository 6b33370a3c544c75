"""The tone analysis that every verdict of a test call stands on."""

import array
import math
import os
import random
import sys
import tempfile
import unittest
import wave

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(ROOT, "deploy", "lib")]

import report  # noqa: E402
import tone  # noqa: E402


class ToneTest(unittest.TestCase):
    def setUp(self):
        self._directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self._directory.name, "recording.wav")

    def tearDown(self):
        self._directory.cleanup()

    def write(self, samples, rate=8000, channels=1):
        with wave.open(self.path, "wb") as out:
            out.setnchannels(channels)
            out.setsampwidth(2)
            out.setframerate(rate)
            out.writeframes(array.array("h", [int(32767 * s) for s in samples]).tobytes())

    def sine(self, frequency, seconds, rate=8000, level=0.25):
        return [level * math.sin(2 * math.pi * frequency * i / rate)
                for i in range(int(seconds * rate))]

    def test_made_tone_is_recognised(self):
        for frequency in (200, 440, 1000, 3000):
            tone.write_tone(self.path, frequency, 2)
            report = tone.analyse(self.path)
            self.assertTrue(report.holds(frequency), report)
            self.assertAlmostEqual(report.total_seconds, 2.0, places=2)

    def test_other_tone_is_refused(self):
        tone.write_tone(self.path, 440, 2)
        self.assertFalse(tone.analyse(self.path).holds(1000))
        self.assertFalse(tone.analyse(self.path).holds(460))

    def test_silence_holds_no_tone(self):
        self.write([0.0] * 16000)
        report = tone.analyse(self.path)
        self.assertEqual(report.voiced_seconds, 0.0)
        self.assertFalse(report.holds(440))

    def test_noise_holds_no_tone(self):
        dice = random.Random(1)
        self.write([dice.uniform(-0.5, 0.5) for _ in range(16000)])
        report = tone.analyse(self.path)
        self.assertFalse(report.holds(report.frequency_hz), report)

    def test_decrypted_with_wrong_key_is_noise(self):
        dice = random.Random(2)  # what G.711 makes of random bytes: few levels, wide spread
        self.write([dice.choice((-1, 1)) * 2.0 ** -dice.randrange(9) for _ in range(16000)])
        self.assertFalse(tone.analyse(self.path).holds(440))

    def test_too_short_a_tone_is_refused(self):
        self.write([0.0] * 8000 + self.sine(440, 0.4) + [0.0] * 8000)
        report = tone.analyse(self.path)
        self.assertFalse(report.holds(440, at_least_seconds=1.0), report)
        self.assertTrue(report.holds(440, at_least_seconds=0.3), report)

    def test_stereo_and_other_rate(self):
        samples = [s for s in self.sine(440, 2, rate=48000) for _ in (0, 1)]
        self.write(samples, rate=48000, channels=2)
        self.assertTrue(tone.analyse(self.path).holds(440))

    def test_file_that_is_still_being_written(self):
        tone.write_tone(self.path, 440, 2)
        with open(self.path, "r+b") as file:
            file.seek(40)
            file.write(b"\0\0\0\0")  # size of the data chunk
        self.assertTrue(tone.analyse(self.path).holds(440))

    def test_windows_show_the_gap(self):
        self.write(self.sine(440, 1) + [0.0] * 8000 + self.sine(440, 1))
        windows = tone.tone_windows(self.path, 440)
        self.assertEqual(len(windows), 75)
        self.assertTrue(all(windows[:25]) and all(windows[-25:]))
        self.assertFalse(any(windows[26:49]))

    def test_not_a_wave_file(self):
        with open(self.path, "wb") as file:
            file.write(b"hello")
        with self.assertRaises(ValueError):
            tone.analyse(self.path)


if __name__ == "__main__":
    report.main()
