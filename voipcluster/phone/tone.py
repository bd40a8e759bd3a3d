"""G.711 mu-law, tones, and what tone is heard: audio that a test can check without an ear."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

RATE: Final = 8000  # samples a second (RFC 3551 section 4.5.14)
FRAME: Final = 160  # samples in a packet of 20 ms
LOUD: Final = 500.0  # amplitude of 16-bit samples above which a tone counts as one

_BIAS = 0x84
_CLIP = 32635


def encode_sample(sample: int) -> int:
    """One 16-bit linear sample as mu-law (ITU-T G.711)."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | (magnitude >> (exponent + 3)) & 0x0F) & 0xFF


def _decode_sample(octet: int) -> int:
    octet = ~octet & 0xFF
    magnitude = (((octet & 0x0F) << 3) + _BIAS << (octet >> 4 & 0x07)) - _BIAS
    return -magnitude if octet & 0x80 else magnitude


_LINEAR: Final = tuple(_decode_sample(octet) for octet in range(256))


def decode(payload: bytes) -> list[int]:
    """16-bit linear samples of mu-law octets."""
    return [_LINEAR[octet] for octet in payload]


def sine(hz: float, count: int, rate: int = RATE, amplitude: float = 8000.0) -> list[int]:
    """C{count} linear samples of a tone that begins at phase 0."""
    step = 2 * math.pi * hz / rate
    return [round(amplitude * math.sin(step * n)) for n in range(count)]


def tone_frame(hz: int) -> bytes:
    """
    The mu-law payload of 20 ms of a tone.

    Repeated it sounds without a click, as C{hz} is a multiple of 50: whole periods in a frame.
    """
    assert hz > 0 and hz % 50 == 0, "a tone of the phone is a multiple of 50 Hz"
    return bytes(encode_sample(sample) for sample in sine(hz, FRAME))


def goertzel(samples: Sequence[int], hz: float, rate: int = RATE) -> float:
    """The amplitude of one frequency in the samples, in the unit of the samples (Goertzel's algorithm)."""
    factor = 2 * math.cos(2 * math.pi * hz / rate)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + factor * last - before
    power = last * last + before * before - factor * last * before
    return 2 * math.sqrt(max(power, 0.0)) / len(samples) if samples else 0.0


def strongest(samples: Sequence[int], rate: int = RATE) -> int | None:
    """
    The frequency that is heard, 200 to 3600 Hz to within 10 Hz, or L{None}: silence, or nothing that sounds like one tone.

    @param samples: at least 20 ms; only as much as 100 ms is looked at.
    """
    frame = samples[: rate // 50]
    if len(frame) < rate // 50:
        return None
    coarse = max(range(200, 3601, 50), key=lambda hz: goertzel(frame, hz, rate))
    longer = samples[: rate // 10]
    fine = max(range(coarse - 50, coarse + 51, 10), key=lambda hz: goertzel(longer, hz, rate))
    amplitude = goertzel(longer, fine, rate)
    energy = sum(sample * sample for sample in longer) / len(longer)
    if amplitude < LOUD or amplitude * amplitude / 2 < 0.5 * energy:
        return None
    return fine
