"""Compression on the way: zstd where both sides have it, else deflate or gzip, which the standard library has.

A server says in every answer what it takes (``Accept-Encoding``, RFC 7694), and a client sends deflate until it has heard.
What is decompressed comes from somebody else, and is bounded while it grows.

References
----------
.. [1] ``docs/adr/0014-server-hardening.md``
.. [2] RFC 7694, "Hypertext Transfer Protocol (HTTP) Client-Initiated Content-Encoding" (2015).
"""

from __future__ import annotations

import importlib
import sys
import zlib
from functools import cache
from typing import Any, Protocol

from mlops_sdk.errors import InvalidValueError

COMPRESS_FROM = 512
"""Bytes below which it does not pay."""
_PIECE = 1 << 16
_WINDOW_LOG = 23
"""8 MiB, what RFC 8878 asks every decoder to have: more would let a few bytes of header ask for gigabytes."""
_LEVEL_ZSTD = 1
_LEVEL_ZLIB = 1


class TooLargeError(InvalidValueError):
    """Compressed bytes that become more than they may."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


@cache
def zstd() -> Any:
    """The module of the standard library (3.14), or its backport; None where there is neither."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def encodings() -> tuple[str, ...]:
    """What this process can decompress, best first."""
    return ("zstd", "gzip", "deflate") if zstd() is not None else ("gzip", "deflate")


def accepted(header: str) -> tuple[str, ...]:
    """The encodings that an ``Accept-Encoding`` header names, in its order; those with ``q=0`` are none."""
    found = []
    for item in header.split(",")[:20]:
        name, _, parameters = item.strip().lower().partition(";")
        if name.strip() and parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            found.append(name.strip())
    return tuple(found)


def compress(data: bytes, encoding: str) -> bytes:
    """Compress, fast rather than small."""
    if encoding == "zstd":
        packed: bytes = zstd().compress(data, _LEVEL_ZSTD)
        return packed
    packer = zlib.compressobj(_LEVEL_ZLIB, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    return packer.compress(data) + packer.flush()


def decompress(data: bytes, encoding: str, most_bytes: int) -> bytes:
    """Decompress step by step, so that a bomb is noticed while it is small.

    Parameters
    ----------
    data : bytes
    encoding : {"zstd", "gzip", "deflate"}
    most_bytes : int
        What it may become.

    Raises
    ------
    TooLargeError
        If it becomes more.
    InvalidValueError
        If it is not compressed like that, is cut short, or something follows it.
    """
    inflater = _decompressor(encoding)
    parts, size, rest = [], 0, data
    try:
        while not inflater.eof:
            part = inflater.decompress(rest, _PIECE)
            rest = getattr(inflater, "unconsumed_tail", b"")  # zlib hands it back, zstd keeps it
            size += len(part)
            if size > most_bytes:
                raise TooLargeError(f"the body inflates to more than {most_bytes} bytes")
            if not part and not rest and not inflater.eof:
                break
            parts.append(part)
    except _errors():
        raise InvalidValueError("the body is not encoded as its header says") from None
    if not inflater.eof or inflater.unused_data:
        raise InvalidValueError("the compressed body is cut short, or something follows it")
    return b"".join(parts)


def _decompressor(encoding: str) -> _Decompressor:
    made: _Decompressor
    if encoding == "zstd":
        module = zstd()
        made = module.ZstdDecompressor(options={module.DecompressionParameter.window_log_max: _WINDOW_LOG})
    else:
        made = zlib.decompressobj(31 if encoding == "gzip" else 15)
    return made


def _errors() -> tuple[type[Exception], ...]:
    module = zstd()
    return (zlib.error,) if module is None else (zlib.error, module.ZstdError)
