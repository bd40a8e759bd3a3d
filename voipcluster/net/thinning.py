"""
Let the kernel throw away a part of the new INVITEs on a UDP socket, before this process wakes up for them (SO_ATTACH_FILTER).

To refuse a request costs a system call to read it, one to answer it, and one to read the ACK: at several times the capacity of a
node that is all it does. What the kernel throws away costs it nothing, and its sender repeats it (RFC 3261 section 17.1.1.2).

The filter is a program for the classic Berkeley Packet Filter. It has no loops and no way to search, so looking for the few words
that must pass is unrolled, for the first octets of a message: a hand-over, a token of one of our dialogs or flows, an emergency.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from contextlib import suppress
from functools import lru_cache
from typing import Final

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # asm-generic/socket.h
HEADER: Final = 8  # octets of UDP's header, with which the filter begins
WORDS: Final = (b";cal", b";ho=", b";flo", b"\nRes")  # as ;call= ;ho= ;flow= and Resource-Priority begin
LOOKED_AT: Final = (
    744  # octets that are searched; what the kernel's memory for filters allows (net.core.optmem_max)
)
_CHUNK: Final = 24

_INSTRUCTION = struct.Struct("@HBBI")  # struct sock_filter: code, jump if true, jump if false, constant
_PROGRAM = struct.Struct("@HP")  # struct sock_fprog
_LOAD, _LOAD_LENGTH, _EQUAL, _AT_LEAST, _JUMP, _RETURN = 0x20, 0x80, 0x15, 0x35, 0x05, 0x06
_RANDOM: Final = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
_CHANCE: Final = 9  # the instruction that compares with the chance
_ALL, _NOTHING = 0xFFFFFFFF, 0


def _word(text: bytes) -> int:
    return int.from_bytes(text, "big")


def program(passing: float, looked_at: int = LOOKED_AT) -> list[tuple[int, int, int, int]]:
    """
    The instructions: (code, jump if true, jump if false, constant).

    @param passing: the share of new INVITEs that passes by chance, 0.0 to 1.0.
    """
    least = min(0xFFFFFFFF, int((1.0 - passing) * 0x100000000))
    code = [
        (_LOAD_LENGTH, 0, 0, 0),
        (_AT_LEAST, 1, 0, HEADER + 16),
        (_RETURN, 0, 0, _ALL),
        (_LOAD, 0, 0, HEADER),
        (_EQUAL, 1, 0, _word(b"INVI")),
        (_RETURN, 0, 0, _ALL),
        (_LOAD, 0, 0, HEADER + len("INVITE ")),
        (_EQUAL, 2, 0, _word(b"urn:")),
        (_LOAD, 0, 0, _RANDOM),
        (_AT_LEAST, 0, 1, least),
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
def _packed(looked_at: int) -> bytes:
    return b"".join(_INSTRUCTION.pack(*one) for one in program(0.0, looked_at))


def thin(bound: socket.socket, passing: float) -> bool:
    """
    Let only a share of the new INVITEs through; 1.0 lets all through again.

    @return: whether the system does it.
    """
    with suppress(OSError):  # there is none yet; a socket has not the memory for two
        bound.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    if passing >= 1.0:
        return True
    looked_at = LOOKED_AT
    while looked_at >= LOOKED_AT // 2:
        packed = bytearray(_packed(looked_at))
        _INSTRUCTION.pack_into(packed, _CHANCE * _INSTRUCTION.size, *program(passing, 0)[_CHANCE])
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
