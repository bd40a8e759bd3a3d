"""Tones as WAV files, and what tone a WAV file holds."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

from voipcluster.phone.tone import RATE, sine, strongest

_HEADER = 44  # octets of a WAV file with nothing but a format and samples


def write_tone(path: Path, hz: int, seconds: int, rate: int = RATE, channels: int = 1) -> Path:
    """A 16-bit WAV file of one tone, the same on all channels."""
    second = struct.pack(f"<{rate * channels}h", *(s for s in sine(hz, rate, rate) for _ in range(channels)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(second * seconds)  # whole periods of a whole number of Hz
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


def latest_tone(path: Path, rate: int = 0) -> int | None:
    """
    The tone of the last 0.1 s of a 16-bit WAV file that somebody still writes, whose header may be behind.

    @param rate: that of its one channel, when its header is written at the end.
    """
    octets = path.read_bytes()
    if len(octets) < _HEADER:
        return None
    channels, rate = (1, rate) if rate else struct.unpack_from("<HI", octets, 22)
    count = rate // 10 * channels
    if len(octets) < _HEADER + 2 * count:
        return None
    end = len(octets) - (len(octets) - _HEADER) % (2 * channels)
    samples = struct.unpack_from(f"<{count}h", octets, end - 2 * count)
    return strongest(samples[::channels], rate)
