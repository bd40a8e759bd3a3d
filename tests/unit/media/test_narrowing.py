"""Offers with some codecs only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.media.narrowing import encodings, only_encodings

HEAD = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
AUDIO = (
    b"m=audio 4000 RTP/AVP 0 8 96 101 13\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)
VIDEO = (
    b"m=video 4002 RTP/AVPF 97 98 99\r\na=rtpmap:97 VP8/90000\r\na=rtpmap:98 rtx/90000\r\na=fmtp:98 apt=97\r\n"
    b"a=rtpmap:99 H264/90000\r\na=rtcp-fb:97 nack\r\na=rtcp-fb:* ccm fir\r\n"
)
CODECS = st.sampled_from(["PCMU", "pcma", "OPUS", "VP8", "H264", "iLBC", "telephone-event"])


class NarrowingTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Names of static and dynamic formats, each once; what goes beside is none."""
        self.assertEqual(encodings(HEAD + AUDIO + VIDEO), ["PCMU", "PCMA", "OPUS", "VP8", "H264"])
        self.assertEqual(encodings(b""), [])
        self.assertEqual(encodings(b"\r\n"), [])

    def test_audio(self) -> None:
        """One codec and what goes beside it stay, the lines of the others go."""
        narrow = only_encodings(HEAD + AUDIO, ("pcma",))
        self.assertEqual(
            narrow,
            HEAD
            + b"m=audio 4000 RTP/AVP 8 101 13\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
            + b"a=ptime:20\r\na=sendrecv\r\n",
        )
        self.assertEqual(only_encodings(HEAD + AUDIO, ("PCMU", "PCMA", "Opus")), HEAD + AUDIO)

    def test_packet_time(self) -> None:
        """The number of a=ptime is no format, whatever else has that number (RFC 8866 section 6.4)."""
        offer = AUDIO.replace(b"96", b"120").replace(b"a=ptime:20", b"a=ptime:120")
        self.assertIn(b"a=ptime:120\r\n", only_encodings(HEAD + offer, ("PCMA",)))

    def test_video(self) -> None:
        """Retransmission goes with its codec; a line without a codec that is left is not wanted."""
        narrow = only_encodings(HEAD + AUDIO + VIDEO, ("PCMU", "H264"))
        self.assertIn(
            b"m=video 4002 RTP/AVPF 99\r\na=rtpmap:99 H264/90000\r\na=rtcp-fb:* ccm fir\r\n", narrow
        )
        self.assertIn(b"m=video 0 RTP/AVPF 97 98 99\r\n", only_encodings(HEAD + AUDIO + VIDEO, ("PCMU",)))
        self.assertIn(b" 97 98\r\n", only_encodings(HEAD + AUDIO + VIDEO, ("PCMU", "VP8")))

    def test_other_media(self) -> None:
        """Fax over UDPTL and the like have no codecs, and stay."""
        fax = HEAD + b"m=image 5000 udptl t38\r\n"
        self.assertEqual(only_encodings(fax, ("PCMA",)), fax)

    def test_nothing_left(self) -> None:
        """An offer of which nothing is left is 488 Not Acceptable Here."""
        error = self.assertRaises(ParseError, only_encodings, HEAD + AUDIO, ("G729",))
        self.assertEqual(error.status_hint, 488)
        self.assertIn("G729", str(error))

    @given(st.sets(CODECS), st.booleans())
    def test_any_choice(self, allowed: set[str], video: bool) -> None:
        """What is left is what is allowed, and narrowing it again changes nothing."""
        body = HEAD + AUDIO + (VIDEO if video else b"")
        wanted = {name.upper() for name in allowed} & set(encodings(body))
        try:
            narrow = only_encodings(body, allowed)
        except ParseError:
            self.assertEqual(wanted, set())
            return
        self.assertEqual(only_encodings(narrow, allowed), narrow)
        self.assertTrue(wanted)
