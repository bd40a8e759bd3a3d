"""Which side is told what of ICE and RTCP multiplexing."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.media.test_sdp import HEAD, WEBRTC, media
from voipcluster.media.showing import Reader, Terms

[BROWSER] = media(WEBRTC)
[PLAIN] = media(HEAD + b"m=audio 4000 RTP/AVP 0\r\n")
[MUXED] = media(HEAD + b"m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n")
[PAIR] = media(
    HEAD
    + b"m=audio 4000 RTP/AVP 0\r\na=ice-ufrag:abcd\r\na=rtcp-mux\r\n"
    + b"a=candidate:1 1 UDP 1 192.0.2.5 4000 typ host\r\na=candidate:1 2 UDP 1 192.0.2.5 4001 typ host\r\n"
)
[FAX] = media(HEAD + b"m=image 4000 udptl t38\r\n")


class OfferTests(SynchronousTestCase):
    def test_first_offer(self) -> None:
        """ICE is offered to whoever its writer offers it to; candidates are for as many ports as his."""
        self.assertEqual(Reader().terms(0, BROWSER), Terms(ice=True, mux=None, components=1))
        self.assertEqual(Reader().terms(0, PAIR), Terms(ice=True, mux=None, components=2))
        self.assertEqual(Reader().terms(0, PLAIN), Terms(ice=False, mux=None, components=2))

    def test_to_a_browser(self) -> None:
        """A browser is offered ICE and one port whatever the writer speaks (RFC 8829)."""
        browser = Reader(browser=True)
        self.assertEqual(browser.terms(0, PLAIN), Terms(ice=True, mux=True, components=1))
        self.assertEqual(browser.terms(0, FAX), Terms(ice=True, mux=None, components=1))

    def test_later_offer(self) -> None:
        """Later each side is offered what it speaks itself."""
        self.assertEqual(Reader(known=[PLAIN]).terms(0, BROWSER), Terms(ice=False, mux=None, components=1))
        self.assertEqual(Reader(known=[BROWSER]).terms(0, PLAIN), Terms(ice=True, mux=True, components=1))
        self.assertEqual(Reader(known=[MUXED]).terms(0, PLAIN), Terms(ice=False, mux=None, components=2))
        self.assertTrue(Reader(known=[PLAIN]).terms(1, BROWSER).ice, "a line that is new")

    def test_switched_off(self) -> None:
        """A relay that speaks no ICE offers none."""
        self.assertFalse(Reader(browser=True).terms(0, BROWSER, ice=False).ice)


class AnswerTests(SynchronousTestCase):
    def test_ice_as_offered(self) -> None:
        """Who offered ICE gets it from us, who did not does not (RFC 8839 section 4.3)."""
        self.assertEqual(Reader(offer=[BROWSER]).terms(0, PLAIN), Terms(ice=True, mux=True, components=1))
        self.assertEqual(Reader(offer=[PLAIN]).terms(0, BROWSER), Terms(ice=False, mux=False, components=2))
        self.assertEqual(Reader(offer=[]).terms(0, BROWSER), Terms(ice=False, mux=None, components=1))

    def test_mux_is_left_where_both_can_do_without(self) -> None:
        """A phone that offered it and is refused uses two ports, as the other one (RFC 5761 section 5.1.1)."""
        self.assertIsNone(Reader(offer=[MUXED]).terms(0, PLAIN).mux)
        self.assertIsNone(Reader(offer=[PAIR]).terms(0, PLAIN).mux)
        self.assertIsNone(Reader(offer=[MUXED]).bridged(0, PLAIN))

    def test_bridged(self) -> None:
        """One side on one port, the other on two."""
        self.assertIs(Reader(offer=[BROWSER]).bridged(0, PLAIN), True)
        self.assertIs(Reader(offer=[PLAIN]).bridged(0, BROWSER), False)
        self.assertIsNone(Reader(offer=[BROWSER]).bridged(0, BROWSER))
        self.assertIsNone(Reader(offer=[PLAIN]).bridged(0, PLAIN))
        self.assertIsNone(Reader().bridged(0, PLAIN))
