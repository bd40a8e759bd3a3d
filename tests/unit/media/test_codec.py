"""Names and clocks of formats, from session descriptions of strangers (RFC 8866, RFC 3551)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.codec import MOST, Codec, agreed, codecs_of

PCMU, PCMA, OPUS, G722 = Codec("PCMU", 8000), Codec("PCMA", 8000), Codec("OPUS", 48000), Codec("G722", 8000)


class ReadTests(SynchronousTestCase):
    def test_formats(self) -> None:
        """Static payload types need no rtpmap, dynamic ones do; what goes beside speech is left out."""
        section = [
            b"c=IN IP4 192.0.2.7\r\n",
            b"a=rtpmap:96 opus/48000/2\r\n",
            b"a=rtpmap:101 telephone-event/8000\r\n",
            b"a=rtpmap:13 CN/8000\n",
        ]
        self.assertEqual(codecs_of(b" 96 9 0 8 13 101 97", section), (OPUS, G722, PCMU, PCMA))

    def test_other_name_for_a_static_type(self) -> None:
        """What the description says counts (RFC 3551 section 6)."""
        self.assertEqual(codecs_of(b" 4", [b"a=rtpmap:4 L16/16000"]), (Codec("L16", 16000),))

    def test_lines_that_are_none(self) -> None:
        """A malformed map, a clock of 0, formats that are no numbers: left out, and nothing raised."""
        section = [
            b"a=rtpmap:96 opus",
            b"a=rtpmap:97 x/0",
            b"a=rtpmap:98 \xff/8000",
            b"a=rtpmap:9999 x/8000",
            b"a=rtpmap:",
        ]
        self.assertEqual(codecs_of(b" 96 97 98 9999 t38 *", section), ())
        self.assertEqual(codecs_of(b"", []), ())

    def test_a_long_list(self) -> None:
        """So many are read, no more."""
        self.assertEqual(len(codecs_of(b" 0" * 10_000, [])), MOST)


class AgreedTests(SynchronousTestCase):
    def test_the_answer_counts(self) -> None:
        """The answer is the shorter list, whoever gave it; its first format that was offered is it (RFC 3264 section 6.1)."""
        self.assertEqual(agreed((OPUS, PCMU, PCMA), (PCMA, PCMU)), PCMA)
        self.assertEqual(agreed((PCMU,), (OPUS, PCMU, PCMA)), PCMU)
        self.assertEqual(agreed((PCMU, PCMA), (PCMA, PCMU)), PCMA)

    def test_nothing_in_common(self) -> None:
        """Then nobody knows."""
        self.assertIsNone(agreed((PCMU,), (PCMA,)))
        self.assertIsNone(agreed((), (PCMA,)))
