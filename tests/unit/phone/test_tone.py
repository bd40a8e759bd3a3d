"""Tests of mu-law, tones and their detection."""

from hypothesis import given
from hypothesis.strategies import integers
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.phone.tone import FRAME, decode, encode_sample, goertzel, sine, strongest, tone_frame


class MuLawTests(SynchronousTestCase):
    def test_known_octets(self) -> None:
        """Silence is 0xFF, the loudest are 0x80 and 0x00 (ITU-T G.711 table 2)."""
        self.assertEqual([encode_sample(n) for n in (0, 32767, -32768)], [0xFF, 0x80, 0x00])
        self.assertEqual(decode(b"\xff\x7f\x80\x00"), [0, 0, 32124, -32124])

    @given(integers(0, 255))
    def test_each_octet_survives(self, octet: int) -> None:
        """Decoded and encoded again an octet is the same, but for the two that mean zero."""
        self.assertEqual(encode_sample(decode(bytes([octet]))[0]), 0xFF if octet == 0x7F else octet)

    @given(integers(-32124, 32124))
    def test_error_is_small(self, sample: int) -> None:
        """A sample comes back within the width of its segment's step: 1/16 of it, and 4."""
        self.assertLessEqual(abs(decode(bytes([encode_sample(sample)]))[0] - sample), abs(sample) / 16 + 4)


class ToneTests(SynchronousTestCase):
    def test_amplitude(self) -> None:
        """Goertzel gives the amplitude of the tone that is there, and next to nothing beside it."""
        samples = sine(1000, 800, amplitude=5000)
        self.assertAlmostEqual(goertzel(samples, 1000) / 5000, 1.0, 3)
        self.assertLess(goertzel(samples, 1500), 10)
        self.assertEqual(goertzel([], 1000), 0.0)

    def test_frames_join_without_a_click(self) -> None:
        """A frame holds whole periods, so that repeated it is one tone."""
        samples = decode(tone_frame(650) * 5)
        self.assertEqual(len(samples), 5 * FRAME)
        self.assertEqual(strongest(samples), 650)

    def test_tones_between_the_coarse_steps(self) -> None:
        """A tone is found to within 10 Hz."""
        for hz in (440, 1010, 3390):
            self.assertEqual(strongest(sine(hz, 800)), hz)

    def test_at_other_rates(self) -> None:
        """The rate of the samples is that of the caller's."""
        self.assertEqual(strongest(sine(440, 4800, 48000), 48000), 440)

    def test_what_is_no_tone(self) -> None:
        """Silence, faint tones, two tones, and too little of one are not heard as one."""
        two = [a + b for a, b in zip(sine(500, 800), sine(1700, 800), strict=True)]
        three = [a + b for a, b in zip(two, sine(2900, 800), strict=True)]
        for samples in ([0] * 800, sine(500, 800, amplitude=100), three, sine(500, 100)):
            self.assertIsNone(strongest(samples))
