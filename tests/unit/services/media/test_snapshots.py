"""What the relay shows of its calls."""

from __future__ import annotations

from tests.unit.services.media.media_case import ALICE, BOB, CALL, NODE, A, B, MediaTestCase, audio
from voipcluster.media.codec import Codec
from voipcluster.media.target import Address
from voipcluster.services.media.snapshots import StreamSnapshot, stream_snapshot


class StreamSnapshotTests(MediaTestCase):
    def shown(self) -> StreamSnapshot:
        relayed = self.media.relayed(CALL)
        assert relayed is not None
        return stream_snapshot(0, relayed.lines[0])

    def test_answered(self) -> None:
        """Each side with the port that faces it and with what it said of itself; nothing has come yet."""
        for_alice, for_bob = self.establish()
        shown = self.shown()
        assert shown.caller is not None and shown.callee is not None
        self.assertEqual((shown.kind, shown.protocol, shown.codec), ("audio", "RTP/AVP", Codec("PCMU", 8000)))
        self.assertEqual((shown.caller.local, shown.callee.local), (for_alice, for_bob))
        self.assertEqual(for_alice.host, NODE)
        self.assertEqual(shown.caller.signalled, Address(ALICE, 4000))
        self.assertEqual(shown.callee.signalled, Address(BOB, 5000))
        for leg in (shown.caller, shown.callee):
            self.assertEqual(
                (leg.latched, leg.packets, leg.octets, leg.strangers, leg.errors), (False, 0, 0, 0, 0)
            )
        self.assertEqual((shown.held, shown.kernel, shown.quality, shown.trouble), (False, False, None, None))

    def test_held(self) -> None:
        """A side that wants nothing sent has no remote address, and keeps its signalled one."""
        self.establish()
        self.passes(A, "INVITE", audio("0.0.0.0", 4000), cseq=2)
        self.passes(B, "INVITE", audio(BOB, 5000), 200, cseq=2)
        shown = self.shown()
        assert shown.caller is not None
        self.assertTrue(shown.held)
        self.assertIsNone(shown.caller.remote)
        self.assertEqual(shown.caller.signalled, Address(ALICE, 4000))
