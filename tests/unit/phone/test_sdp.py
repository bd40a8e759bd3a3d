"""Tests of the phone's session descriptions."""

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.phone.sdp import Audio, describe, read_audio


class SdpTests(SynchronousTestCase):
    def test_own_description_is_read(self) -> None:
        """What is written is read back, for IPv4 and IPv6, in each direction (RFC 4566, RFC 3264 section 5.1)."""
        for host in ("192.0.2.1", "2001:db8::1"):
            self.assertEqual(read_audio(describe(host, 4000, 1)), Audio(host, 4000))
        directions = {"sendonly": (False, True), "recvonly": (True, False), "inactive": (False, False)}
        for name, expected in directions.items():
            audio = read_audio(describe("192.0.2.1", 4000, 1, name))
            assert audio is not None
            self.assertEqual((audio.receiving, audio.sending), expected)

    def test_address_of_the_media_wins(self) -> None:
        """A c= line of the media stands over that of the session; other media are passed over (RFC 4566 section 5.7)."""
        body = (
            b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=video 5000 RTP/AVP 96\r\nc=IN IP4 192.0.2.2\r\n"
            b"m=audio 4000 RTP/AVP 8 0\r\nc=IN IP4 192.0.2.3\r\nm=audio 4002 RTP/AVP 0\r\n"
        )
        self.assertEqual(read_audio(body), Audio("192.0.2.3", 4000))

    def test_what_cannot_be_used(self) -> None:
        """No PCMU, port 0, a name for an address, no audio: nothing to talk to."""
        for media in (b"m=audio 4000 RTP/AVP 8", b"m=audio 0 RTP/AVP 0", b"m=video 4000 RTP/AVP 0", b""):
            self.assertIsNone(read_audio(b"v=0\r\nc=IN IP4 192.0.2.1\r\n" + media + b"\r\n"))
        self.assertIsNone(read_audio(b"c=IN IP4 host.example\r\nm=audio 4000 RTP/AVP 0\r\n"))
        self.assertIsNone(read_audio(b"m=audio 4000 RTP/AVP 0\r\n"))
