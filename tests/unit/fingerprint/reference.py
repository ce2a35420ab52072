"""The specification once more, in plain Python, from the text of docs/fingerprint-spec.md alone: no numpy, no vectors.

Values: None, bool, int, float, Decimal, str, bytes, lists and dicts of these, and (kind, nanoseconds) for times.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any

from blake3 import blake3

MASK = (1 << 64) - 1
NULL, NAN, INTEGER = 0x7FF8000000000001, 0x7FF8000000000000, 0x7FF8000000000002
MARKS = {
    "number": 0,
    "text": 0x7465787400000001,
    "bytes": 0x6279746500000002,
    "nested": 0x6E65737400000003,
    "time": 0x74696D6500000005,
    "instant": 0x696E737400000006,
    "duration": 0x6475726100000007,
    "clock": 0x636C6F6300000008,
}
TIME_TAGS = {"time": b"t", "instant": b"T", "duration": b"u", "clock": b"c"}


KEY: dict[str, bytes] = {}
SEED = 0


def set_salt(salt: bytes | None) -> None:
    """From now on as the section "Salt" says; None takes it back."""
    global SEED
    KEY.clear()
    SEED = 0
    if salt:
        KEY["key"] = blake3(salt, derive_key_context="mlops_sdk fingerprint 1 salt").digest()
        SEED = int.from_bytes(tagged("seed")[:8], "little")


def hashed(data: bytes) -> bytes:
    return blake3(data, **KEY).digest()


def tagged(purpose: str, *pieces: bytes) -> bytes:
    framed = b"".join(struct.pack("<Q", len(piece)) + piece for piece in pieces)
    return hashed(f"mlops fingerprint 1 {purpose}\0".encode() + framed)


def mix(word: int) -> int:
    word ^= word >> 30
    word = word * 0xBF58476D1CE4E5B9 & MASK
    word ^= word >> 27
    word = word * 0x94D049BB133111EB & MASK
    return word ^ word >> 31


def hash_text(data: bytes, seed: int = 0) -> int:
    if len(data) > 256:
        return int.from_bytes(blake3(struct.pack("<Q", seed) + data).digest(8), "little")
    state = (len(data) * 0x9E3779B97F4A7C15 & MASK) ^ seed
    for start in range(0, len(data), 8):
        state = (state ^ int.from_bytes(data[start : start + 8], "little")) * 0xBF58476D1CE4E5B9 & MASK
        state ^= state >> 32
    return state


def decimal_text(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    bare = text.rstrip("0")
    return f"{'-' if sign else ''}{bare}E{int(exponent) + len(text) - len(bare)}".encode()


def number(value: Any) -> tuple[int, bytes, int]:
    """Bits in the first stream, bytes in the second, cell code."""
    if value != value:
        return NAN, b"", NAN
    try:
        as_float = float(value) + 0.0
        is_exact = (as_float in (float("inf"), float("-inf")) and isinstance(value, float)) or Fraction(
            as_float
        ) == Fraction(value)
    except OverflowError:
        is_exact = isinstance(value, float)
    if is_exact:
        bits = int.from_bytes(struct.pack("<d", as_float), "little")
        return bits, b"", bits
    if value == int(value) and -(1 << 63) <= value < 1 << 64:
        form, word = (1 if value < 1 << 63 else 3), int(value) & MASK
        return INTEGER, bytes([form]) + struct.pack("<Q", word), ((word ^ INTEGER) + (form << 56)) & MASK
    text = decimal_text(Decimal(value))
    return INTEGER, b"\2" + struct.pack("<Q", len(text)) + text, hash_text(text) ^ INTEGER


def encode(value: Any) -> bytes:
    if value is None or (isinstance(value, float) and value != value):
        return b"z"
    if isinstance(value, str):
        return b"s" + struct.pack("<Q", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"b" + struct.pack("<Q", len(value)) + value
    if isinstance(value, list):
        return b"l" + struct.pack("<Q", len(value)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        pairs = sorted((key.encode(), encode(each)) for key, each in value.items() if encode(each) != b"z")
        body = b"".join(struct.pack("<Q", len(key)) + key + each for key, each in pairs)
        return b"m" + struct.pack("<Q", len(pairs)) + body
    if isinstance(value, tuple):
        digits = str(value[1]).encode()
        return TIME_TAGS[value[0]] + struct.pack("<Q", len(digits)) + digits
    bits, side, _ = number(value)
    if bits != INTEGER:
        return b"n" + struct.pack("<Q", bits)
    return b"d" + side[1:] if side[0] == 2 else b"i" + side


def cell(value: Any) -> tuple[str, tuple[bytes, bytes], int]:
    """Kind, bytes of the two streams, cell code; the kind is empty for a missing value."""
    if value is None or (isinstance(value, float) and value != value):
        return "", (b"", b""), NULL
    if isinstance(value, tuple):
        kind, ns = value
        if abs(ns) <= (1 << 63) - 2:
            return kind, (struct.pack("<q", ns), b""), (ns & MASK) ^ MARKS[kind] ^ SEED
        digits = str(ns).encode()
        return kind, (struct.pack("<q", -(1 << 63) + 1), digits + b"\n"), hash_text(digits, SEED) ^ MARKS[kind]
    for kind, types in (("text", str), ("bytes", bytes), ("nested", (list, dict))):
        if isinstance(value, types):
            data = value.encode() if kind == "text" else value if kind == "bytes" else encode(value)
            return kind, (struct.pack("<Q", len(data)), data), hash_text(data, SEED) ^ MARKS[kind]
    bits, side, code = number(value)
    return "number", (struct.pack("<Q", bits), side), code ^ SEED


def column(values: list[Any]) -> tuple[str, bytes]:
    """Kind and digest of a column."""
    streams: dict[str, list[bytes]] = {}
    nulls, runs = b"", []
    n_nulls = 0
    for row, value in enumerate(values):
        kind, parts, _ = cell(value)
        if not kind:
            nulls += struct.pack("<Q", row)
            n_nulls += 1
            continue
        held = streams.setdefault(kind, [b"", b""])
        streams[kind] = [held[0] + parts[0], held[1] + parts[1]]
        if runs and runs[-1][0] == kind:
            runs[-1][1] += 1
        else:
            runs.append([kind, 1])
    pieces = [struct.pack("<QQ", len(values), n_nulls), hashed(nulls)]
    for kind, pair in streams.items():
        pieces += [kind.encode(), *(hashed(stream) for stream in pair)]
    if len(streams) > 1:
        said = b"".join(struct.pack("<QQ", len(kind), n) + kind.encode() for kind, n in runs)
        pieces.append(hashed(said))
    kind = "null" if not streams else "mixed" if len(streams) > 1 else next(iter(streams))
    return kind, tagged("column", *pieces)


def table(columns: dict[str, list[Any]]) -> dict[str, Any]:
    """Every digest of a table whose names are all different."""
    n_rows = len(next(iter(columns.values()))) if columns else 0
    done = {name: column(values) for name, values in columns.items()}
    ordered = [struct.pack("<Q", n_rows)]
    for name, (kind, digest) in done.items():
        ordered += [name.encode(), kind.encode(), digest]
    keys = {
        name: int.from_bytes(tagged("row key", name.encode(), struct.pack("<Q", 0))[:8], "little") | 1
        for name in columns
    }
    rows = []
    for row in range(n_rows):
        total = sum(mix(cell(values[row])[2]) * keys[name] for name, values in columns.items())
        rows.append(mix(total & MASK))
    lanes = sum(rows) & MASK, sum(mix(row ^ 0xD6E8FEB86659FD93) for row in rows) & MASK
    named = sorted((name.encode(), kind.encode()) for name, (kind, _) in done.items())
    pieces = [struct.pack("<Q", n_rows), *(piece for pair in named for piece in pair), struct.pack("<QQ", *lanes)]
    return {
        "digest": tagged("table", *ordered).hex(),
        "content_digest": tagged("content", *pieces).hex(),
        "columns": {name: digest.hex() for name, (_, digest) in done.items()},
        "row_hashes": [f"{row:016x}" for row in rows],
    }
