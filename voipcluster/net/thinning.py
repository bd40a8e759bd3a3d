"""
Let the kernel throw away a part of the new INVITEs on a UDP socket, before this process wakes up for them (SO_ATTACH_FILTER).

To refuse a request costs a system call to read it, one to answer it, and one to read the ACK: at several times the capacity of a
node that is all it does. What the kernel throws away costs it nothing, and its sender repeats it (RFC 3261 section 17.1.1.2).

The filter is a program for the classic Berkeley Packet Filter. It has no loops and no way to search, so looking for the few words
that must pass is unrolled, for the first octets of a message: a hand-over, a token of one of our dialogs or flows, an emergency.
Calls to numbers for help are told by the begin of their Request-URI.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Final

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # asm-generic/socket.h
HEADER: Final = 8  # octets of UDP's header, with which the filter begins
WORDS: Final = (b";cal", b";ho=", b";flo", b"\nRes")  # as ;call= ;ho= ;flow= and Resource-Priority begin
LOOKED_AT: Final = (
    744  # octets that are searched; what the kernel's memory for filters allows (net.core.optmem_max)
)
MOST_NUMBERS: Final = 8  # for help, whose calls are told; more of them have to come by one of their copies
_SCHEMES: Final = (b"sip:", b"tel:", b"sips:")
_CHUNK: Final = 24

_INSTRUCTION = struct.Struct("@HBBI")  # struct sock_filter: code, jump if true, jump if false, constant
_PROGRAM = struct.Struct("@HP")  # struct sock_fprog
_LOAD, _LOAD_LENGTH, _EQUAL, _AT_LEAST, _JUMP, _RETURN = 0x20, 0x80, 0x15, 0x35, 0x05, 0x06
_LOADS: Final = {4: _LOAD, 2: 0x28, 1: 0x30}  # by the number of octets
_RANDOM: Final = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
_ALL, _NOTHING = 0xFFFFFFFF, 0


def _word(text: bytes) -> int:
    return int.from_bytes(text, "big")


def _chance(passing: float) -> tuple[int, int, int, int]:
    return (_AT_LEAST, 0, 1, min(0xFFFFFFFF, int((1.0 - passing) * 0x100000000)))


def _calls_to(uri: bytes) -> list[tuple[int, int, int, int]]:
    """Lets an INVITE through whose Request-URI begins so. Longer numbers, too: that they call nobody for help is seen later."""
    pieces, start = [], 0
    while start < len(uri):
        size = next(size for size in _LOADS if size <= len(uri) - start)
        pieces.append((start, size))
        start += size
    code = []
    for left, (start, size) in zip(range(2 * len(pieces) - 1, 0, -2), pieces, strict=True):
        code.append((_LOADS[size], 0, 0, HEADER + len("INVITE ") + start))
        code.append((_EQUAL, 0, left, _word(uri[start : start + size])))
    return [*code, (_RETURN, 0, 0, _ALL)]


def program(
    passing: float, looked_at: int = LOOKED_AT, numbers: Sequence[str] = ()
) -> list[tuple[int, int, int, int]]:
    """
    The instructions: (code, jump if true, jump if false, constant).

    @param passing: the share of new INVITEs that passes by chance, 0.0 to 1.0.
    @param numbers: calls to these pass, in digits.
    """
    for_help = [
        one
        for number in numbers[:MOST_NUMBERS]
        for scheme in _SCHEMES
        for one in _calls_to(scheme + number.encode("ascii"))
    ]
    code = [
        (_LOAD_LENGTH, 0, 0, 0),
        (_AT_LEAST, 1, 0, HEADER + 16),
        (_RETURN, 0, 0, _ALL),
        (_LOAD, 0, 0, HEADER),
        (_EQUAL, 1, 0, _word(b"INVI")),
        (_RETURN, 0, 0, _ALL),
        (_LOAD, 0, 0, HEADER + len("INVITE ")),
        (_EQUAL, 0, 1, _word(b"urn:")),
        (_RETURN, 0, 0, _ALL),
        *for_help,
        (_LOAD, 0, 0, _RANDOM),
        _chance(passing),
        (_RETURN, 0, 0, _ALL),
    ]
    for start in range(HEADER + 8, HEADER + 8 + looked_at, _CHUNK):
        code += [(_LOAD_LENGTH, 0, 0, 0), (_AT_LEAST, 1, 0, start + _CHUNK + 4), (_RETURN, 0, 0, _NOTHING)]
        left = _CHUNK * (1 + len(WORDS))  # instructions up to the one behind this chunk
        for at in range(start, start + _CHUNK):
            code.append((_LOAD, 0, 0, at))
            left -= 1
            for word in WORDS:
                left -= 1
                code.append((_EQUAL, left + 1, 0, _word(word)))
        code += [(_JUMP, 0, 0, 1), (_RETURN, 0, 0, _ALL)]
    code.append((_RETURN, 0, 0, _NOTHING))
    return code


@lru_cache(8)
def _packed(looked_at: int, numbers: Sequence[str]) -> tuple[bytes, int]:
    """A program, and where in it the chance stands."""
    code = program(0.0, looked_at, numbers)
    return b"".join(_INSTRUCTION.pack(*one) for one in code), code.index((_LOAD, 0, 0, _RANDOM)) + 1


def thin(bound: socket.socket, passing: float, numbers: tuple[str, ...] = ()) -> bool:
    """
    Let only a share of the new INVITEs through; 1.0 lets all through again.

    @param numbers: calls to these go through all the same, in digits.
    @return: whether the system does it.
    """
    with suppress(OSError):  # there is none yet; a socket has not the memory for two
        bound.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    if passing >= 1.0:
        return True
    looked_at = LOOKED_AT
    while looked_at >= LOOKED_AT // 2:
        made, chance = _packed(looked_at, numbers)
        packed = bytearray(made)
        _INSTRUCTION.pack_into(packed, chance * _INSTRUCTION.size, *_chance(passing))
        buffer = ctypes.create_string_buffer(bytes(packed))
        length = len(packed) // _INSTRUCTION.size
        try:
            bound.setsockopt(
                socket.SOL_SOCKET, SO_ATTACH_FILTER, _PROGRAM.pack(length, ctypes.addressof(buffer))
            )
        except OSError:
            looked_at -= _CHUNK * 8  # the memory that a socket may have for it is small on older systems
        else:
            return True
    return False
