"""
Loads rules through libnftables (libnftables(3)), which knows how to say them to the kernel.

The four functions that this takes are bound here: the module that belongs to the library is no package for a virtual environment
(C{docs/architecture.md}).
"""

from __future__ import annotations

import ctypes

LIBRARY = "libnftables.so.1"


def load(commands: str, library: str = LIBRARY) -> None:
    """
    @param commands: as in a file for C{nft -f}; all of it comes into force at once.
    @raise OSError: the first line of what nft says; or there is no libnftables here.
    """
    try:
        nft = ctypes.CDLL(library)
    except OSError as error:
        raise OSError(0, f"{library} is missing (Debian package libnftables1)") from error
    nft.nft_ctx_new.restype = ctypes.c_void_p
    nft.nft_ctx_new.argtypes = [ctypes.c_uint32]
    nft.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    for function, more in (
        (nft.nft_ctx_free, []),
        (nft.nft_ctx_buffer_error, []),
        (nft.nft_ctx_get_error_buffer, []),
        (nft.nft_run_cmd_from_buffer, [ctypes.c_char_p]),
    ):
        function.argtypes = [ctypes.c_void_p, *more]
    context = nft.nft_ctx_new(0)
    if not context:
        raise OSError(0, "libnftables gives no context")
    try:
        nft.nft_ctx_buffer_error(context)
        if nft.nft_run_cmd_from_buffer(context, commands.encode("ascii")):
            said = nft.nft_ctx_get_error_buffer(context).decode("utf-8", "replace")
            raise OSError(0, said.strip().split("\n")[0] or "nft says nothing")
    finally:
        nft.nft_ctx_free(context)
