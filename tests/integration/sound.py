"""Tones as WAV files, and what tone a WAV file holds."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

from voipcluster.phone.tone import RATE, sine, strongest


def write_tone(path: Path, hz: float, seconds: float, rate: int = RATE) -> Path:
    """A 16-bit mono WAV file of one tone."""
    samples = sine(hz, round(seconds * rate), rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return path


def heard_tones(path: Path, every: float = 0.5) -> list[int | None]:
    """
    The tone at each C{every} seconds of a WAV file, in Hz to within 10, L{None} where there is none.

    A file whose writer was killed is read as far as it goes.
    """
    with wave.open(str(path), "rb") as file:
        rate, channels = file.getframerate(), file.getnchannels()
        frames = file.readframes(file.getnframes())
    count = len(frames) // 2
    samples = struct.unpack(f"<{count}h", frames[: 2 * count])[::channels]
    step, look = round(every * rate), rate // 10
    return [strongest(samples[start : start + look], rate) for start in range(0, len(samples) - look, step)]
