"""
What a conversation is worth to its listener: the E-model (ITU-T G.107, 06/2015) with the codec impairments of ITU-T G.113.

All of G.107 section 7 is here, not one of the short forms in use; what a relay cannot know, loudness, noise, echo of the
telephones, has the default value of Table 2. The scale is that of narrow-band telephony: the best is R = 93.2, MOS 4.41.
"""

from __future__ import annotations

from math import exp, log10, sqrt

from attrs import frozen


@frozen
class Impairment:
    """
    A codec for the E-model.

    @ivar ie: equipment impairment factor without loss.
    @ivar bpl: packet-loss robustness factor, for random loss.
    @ivar lookahead: ms that the encoder waits for beyond its frame.
    @ivar source: where the figures come from.
    """

    ie: float
    bpl: float
    lookahead: float
    source: str


_G113 = "ITU-T G.113 (11/2007) Appendix I"
_TRANSPARENT = "none for this scale: as G.711 with concealment"
_UNKNOWN = Impairment(0.0, 4.3, 0.0, "none: as G.711 without concealment")

# By the encoding name of RFC 3551 in upper case. Bpl has been published for few codecs: the others have that of the one
# that is made like them, and say so.
CODECS = {
    "PCMU": Impairment(0.0, 25.1, 0.0, f"{_G113}, G.711 with concealment (its Appendix I)"),
    "PCMA": Impairment(0.0, 25.1, 0.0, f"{_G113}, G.711 with concealment (its Appendix I)"),
    "G729": Impairment(11.0, 19.0, 5.0, f"{_G113}, G.729A with VAD"),
    "G723": Impairment(15.0, 16.1, 7.5, f"{_G113}, G.723.1 at 6.3 kbit/s with VAD"),
    "GSM-EFR": Impairment(5.0, 10.0, 0.0, f"{_G113}, GSM-EFR"),
    "AMR": Impairment(5.0, 10.0, 5.0, f"{_G113}, AMR at 12.2 kbit/s is GSM-EFR"),
    "GSM": Impairment(20.0, 10.0, 0.0, f"{_G113} for Ie; Bpl of GSM-EFR"),
    "GSM-HR-08": Impairment(23.0, 10.0, 4.4, f"{_G113} for Ie; Bpl of GSM-EFR"),
    "G726-16": Impairment(50.0, 4.3, 0.0, f"{_G113} for Ie; Bpl of G.711 without concealment"),
    "G726-24": Impairment(25.0, 4.3, 0.0, f"{_G113} for Ie; Bpl of G.711 without concealment"),
    "G726-32": Impairment(7.0, 4.3, 0.0, f"{_G113} for Ie; Bpl of G.711 without concealment"),
    "G726-40": Impairment(2.0, 4.3, 0.0, f"{_G113} for Ie; Bpl of G.711 without concealment"),
    "G728": Impairment(7.0, 4.3, 0.0, f"{_G113} for Ie; Bpl of G.711 without concealment"),
    # Wide-band codecs have impairments on the scales of G.107.1 and G.107.2 only. On this one they are as good as its best.
    "G722": Impairment(0.0, 25.1, 1.5, _TRANSPARENT),
    "OPUS": Impairment(0.0, 25.1, 6.5, f"{_TRANSPARENT}; look-ahead RFC 6716 section 2.1.7"),
    "AMR-WB": Impairment(0.0, 25.1, 5.0, _TRANSPARENT),
    "SPEEX": Impairment(0.0, 25.1, 10.0, _TRANSPARENT),
    "L16": Impairment(0.0, 25.1, 0.0, _TRANSPARENT),
}


def impairment_of(codec: str) -> Impairment:
    """@param codec: encoding name, in any case. @return: a cautious one for a codec that nobody has rated."""
    return CODECS.get(codec.upper(), _UNKNOWN)


@frozen
class Inputs:
    """
    What the E-model is asked with, beside its defaults.

    @ivar delay: Ta, absolute one-way delay from mouth to ear, in ms.
    @ivar lost: Ppl, packets that the listener misses, in per cent; what its jitter buffer throws away counts.
    @ivar codec: gives Ie and Bpl.
    @ivar burst: BurstR, length of the gaps as multiple of what random loss makes; 1 is random.
    @ivar advantage: A, what is forgiven for being mobile.
    """

    delay: float = 0.0
    lost: float = 0.0
    codec: Impairment = CODECS["PCMU"]
    burst: float = 1.0
    advantage: float = 0.0


# Table 2 of G.107: loudness ratings in dB, noises in dBm0p and dB(A), echo losses in dB.
SLR, RLR, STMR, LSTR, DS, DR = 8.0, 2.0, 15.0, 18.0, 3.0, 3.0
TELR, WEPL, QDU = 65.0, 110.0, 1.0
NC, NFOR, PS, PR = -70.0, -64.0, 35.0, 35.0
MT, ST = 100.0, 1.0  # ms, the delay that nobody minds; sensitivity to delay (2015)


def rating(inputs: Inputs) -> float:
    """The transmission rating factor R (G.107 equation 7-1), 0 to 100."""
    delay = max(0.0, inputs.delay)
    impairments = _STEADY + _sidetone(delay) + _delay_impairment(delay) + _equipment(inputs)
    return min(100.0, max(0.0, _SIGNAL - impairments + inputs.advantage))


def mean_opinion(r: float) -> float:
    """The mean opinion score that a rating stands for, 1 to 4.5 (G.107 Annex B); below R = 6.5 the curve dips under 1."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def _noise() -> float:
    """No: all noises at the 0 dBr point, dBm0p (7-3 to 7-7)."""
    overall = SLR + RLR
    sending = PS - SLR - DS - 100 + 0.004 * (PS - overall - DS - 14) ** 2
    room = PR + 10 * log10(1 + 10 ** ((10 - LSTR) / 10))
    receiving = RLR - 121 + room + 0.008 * (room - 35) ** 2
    floor = NFOR + RLR
    return 10 * log10(sum(10 ** (one / 10) for one in (NC, sending, receiving, floor)))


def _loudness(noise: float) -> float:
    """Iolr, the part of Is for a connection that is too loud (7-9, 7-10)."""
    overall = SLR + RLR
    x = overall + 0.2 * (64 + noise - RLR)
    return float(20 * ((1 + (x / 8) ** 8) ** (1 / 8) - x / 8))


def _sidetone(delay: float) -> float:
    """Ist, the part of Is for the talker's own voice; the echo of a short path counts as that (7-11 to 7-13)."""
    masked = -10 * log10(10 ** (-STMR / 10) + exp(-delay / 4) * 10 ** (-TELR / 10))
    return float(
        12 * (1 + ((masked - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((masked + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((masked - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )


def _quantizing(signal: float) -> float:
    """Iq, the part of Is for C{QDU} quantizing distortion units (7-14 to 7-17)."""
    q = 37 - 15 * log10(QDU)
    g = 1.07 + 0.258 * q + 0.0602 * q**2
    y = (signal - 100) / 15 + 46 / 8.4 - g / 9
    z = 46 / 30 - g / 40
    return 15 * log10(1 + 10**y + 10**z)


def _delay_impairment(delay: float) -> float:
    """
    Id: echo to the talker, echo to the listener, and delay as such (7-18 to 7-28).

    The one-way delay of the echo path, T, is Ta, and the round trip of the loop, Tr, twice that.
    """
    echo = TELR - 40 * log10((1 + delay / 10) / (1 + delay / 150)) + 6 * exp(-0.3 * delay**2)
    difference = -1.5 * (_NOISE - RLR) - (80 + 2.5 * (echo - 14))
    talker = (difference / 2 + sqrt(difference**2 / 4 + 100) - 1) * (1 - exp(-delay))
    loop = _SIGNAL - 10.5 * (WEPL + 7) / sqrt(sqrt(2 * delay + 1))
    listener = loop / 2 + sqrt(loop**2 / 4 + 169)
    return talker + listener + _absolute_delay(delay)


def _absolute_delay(delay: float) -> float:
    """Idd."""
    if delay <= MT:
        return 0.0
    x = log10(delay / MT) / log10(2)
    power = 6 * ST
    return float(25 * ((1 + x**power) ** (1 / power) - 3 * (1 + (x / 3) ** power) ** (1 / power) + 2))


def _equipment(inputs: Inputs) -> float:
    """Ie-eff: the codec, and packets that it does not get (7-29)."""
    codec, lost = inputs.codec, min(100.0, max(0.0, inputs.lost))
    return codec.ie + (95 - codec.ie) * lost / (lost / inputs.burst + codec.bpl)


# What depends on defaults alone, worked out once: No, Ro (7-2), and the parts of Is that have nothing to do with delay.
_NOISE = _noise()
_SIGNAL = 15 - 1.5 * (SLR + _NOISE)
_STEADY = _loudness(_NOISE) + _quantizing(_SIGNAL)
