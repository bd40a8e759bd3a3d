"""The E-model, with the figures that ITU-T G.107 and G.113 give themselves."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.emodel import CODECS, Inputs, impairment_of, mean_opinion, rating


class RatingTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """With all parameters at their defaults R is 93.2 (G.107 section 7.7)."""
        self.assertApproximates(rating(Inputs()), 93.2, 0.05)

    def test_codecs(self) -> None:
        """Without loss a codec costs its Ie: G.729A is 11 below G.711, GSM 20 (G.113 Appendix I)."""
        for name, ie in (("PCMA", 0), ("G729", 11), ("gsm", 20), ("G723", 15), ("AMR", 5)):
            self.assertApproximates(rating(Inputs(codec=impairment_of(name))), 93.2 - ie, 0.05)

    def test_random_loss(self) -> None:
        """Ie-eff = Ie + (95 - Ie) Ppl / (Ppl / BurstR + Bpl): 2 % cost G.711 with concealment 190 / 27.1 = 7.01 (7-29)."""
        self.assertApproximates(rating(Inputs(lost=2.0)), 93.2 - 7.01, 0.05)
        g729 = impairment_of("G729")
        self.assertApproximates(rating(Inputs(lost=3.0, codec=g729)), 93.2 - 11 - 84 * 3 / 22, 0.05)
        self.assertApproximates(rating(Inputs(lost=2.0, burst=2.0)), 93.2 - 190 / 26.1, 0.05)

    def test_delay(self) -> None:
        """
        Absolute delay begins to count at 100 ms. Idd at 200 ms: X = 1, 25 (2^(1/6) - 3 (1 + 3^-6)^(1/6) + 2) = 3.04; at
        400 ms: X = 2, 25 (65^(1/6) - 3 (1 + (2/3)^6)^(1/6) + 2) = 24.04 (7-27, 7-28). Echo has the rest.
        """
        ratings = [rating(Inputs(delay=delay)) for delay in (0, 50, 100, 150, 200, 300, 400, 800)]
        self.assertEqual(ratings, sorted(ratings, reverse=True))
        self.assertGreater(ratings[2], 90)
        self.assertApproximates(ratings[2] - ratings[4], 3.04, 2.0)
        self.assertApproximates(ratings[2] - ratings[6], 24.04, 5.0)

    def test_whatever_comes_in(self) -> None:
        """All lost, an age of delay, or a negative figure: R stays within 0 and 100."""
        for inputs in (
            Inputs(lost=100.0, delay=5000.0),
            Inputs(lost=1e9),
            Inputs(delay=-5.0, lost=-1.0, advantage=20.0),
        ):
            self.assertTrue(0 <= rating(inputs) <= 100, inputs)

    def test_a_codec_that_nobody_rated(self) -> None:
        """It counts as G.711 without concealment: Ie 0, Bpl 4.3."""
        unknown = impairment_of("x-secret")
        self.assertEqual((unknown.ie, unknown.bpl), (0.0, 4.3))

    def test_sources(self) -> None:
        """Each figure says where it comes from."""
        self.assertEqual([name for name, codec in CODECS.items() if not codec.source], [])


class OpinionTests(SynchronousTestCase):
    def test_table_of_annex_b(self) -> None:
        """The user satisfaction limits of G.107 Annex B, Table B.1."""
        for r, mos in ((90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)):
            self.assertApproximates(mean_opinion(r), mos, 0.01)

    def test_ends_of_the_scale(self) -> None:
        """1 for nothing, 4.5 for R = 100, and never below 1, where the cubic dips (Annex B)."""
        self.assertEqual(
            (mean_opinion(-3), mean_opinion(0), mean_opinion(3), mean_opinion(120)), (1.0, 1.0, 1.0, 4.5)
        )
        self.assertApproximates(mean_opinion(93.2), 4.41, 0.005)
