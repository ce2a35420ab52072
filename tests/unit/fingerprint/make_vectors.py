"""Writes docs/fingerprint-vectors.json, by the reference in plain Python: `python -m tests.unit.fingerprint.make_vectors`.

The vectors are a promise: a change of this file adds cases, and never changes one.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.unit.fingerprint import reference

FILE = Path(__file__).resolve().parents[3] / "docs" / "fingerprint-vectors.json"
DAY = 86_400 * 10**9
TABLES: dict[str, dict[str, list[Any]]] = {
    "no rows": {"a": [], "b": []},
    "one number": {"0": [1.0]},
    "zero": {"0": [0.0]},
    "numbers": {
        "x": [0.1, -0.0, 1e-320, 1.7976931348623157e308, float("inf"), float("-inf")],
        "n": [1, 2, 3, -4, 2**53, 0],
    },
    "integers beyond 2^53": {"id": [2**53 + 1, 2**63 - 1, -(2**63) + 1, 2**64 - 1, 2**63, 7]},
    "signed integers": {"id": [2**53 + 1, 2**63 - 1, -(2**63) + 1, 0, None]},
    "signed integers, none missing": {"id": [2**53 + 1, 2**63 - 1, 3]},
    "integers beyond 2^64": {"id": [2**64 + 1, 10**30 + 1, -(2**63) - 1, 2**100]},
    "decimals": {"price": [Decimal("0.1"), Decimal("1.50"), Decimal("-12.345"), Decimal(100), Decimal("1E+40")]},
    "booleans are numbers": {"b": [True, False, None]},
    "missing": {"x": [None, 1.5, None], "s": ["a", None, ""], "all": [None, None, None]},
    "texts": {"s": ["", "a", "på Færøerne", "12345678", "123456789", "日本語", "x" * 256, "y" * 257, "a\0b"]},
    "bytes": {"b": [b"", b"a", b"\xff\0", None]},
    "times": {
        "naive": [("time", 0), ("time", -1), ("time", 1_700_000_000 * 10**9), None],
        "aware": [("instant", 0), ("instant", -1), ("instant", 1_700_000_000 * 10**9), None],
        "span": [("duration", 0), ("duration", -1), ("duration", 10**15), None],
        "clock": [("clock", 0), ("clock", 1), ("clock", DAY - 1), None],
    },
    "times beyond 64 bits": {"t": [("time", 253_402_300_799 * 10**9), ("time", -62_135_596_800 * 10**9), ("time", 5)]},
    "nested": {
        "l": [[], [1, 2.5, None], ["a", [b"x"]]],
        "m": [{}, {"b": 1, "a": "x"}, {"a": None, "c": [{"d": 2**60 + 1}]}],
    },
    "mixed": {"m": [1, "1", b"1", None, "2", 2, [1], ("time", 1)]},
    "order of columns": {"b": [1, 2], "a": [3, 4]},
    "duplicate rows": {"a": [1, 1, 1, 2], "b": ["x", "x", "x", "y"]},
}


def as_json(value: Any) -> Any:
    """A value, as the file says it."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, (int, Decimal)):
        return {type(value).__name__.lower(): str(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, tuple):
        return {value[0]: str(value[1])}
    if isinstance(value, list):
        return {"list": [as_json(each) for each in value]}
    return {"map": {key: as_json(each) for key, each in value.items()}}


def from_json(said: Any) -> Any:
    """Undo `as_json`."""
    if not isinstance(said, dict):
        return said
    ((kind, value),) = said.items()
    plain = {"float": float.fromhex, "int": int, "decimal": Decimal, "bytes": bytes.fromhex}
    if kind in plain:
        return plain[kind](value)
    if kind == "list":
        return [from_json(each) for each in value]
    if kind == "map":
        return {key: from_json(each) for key, each in value.items()}
    return kind, int(value)


def main() -> None:
    cases = []
    for name, columns in TABLES.items():
        said = {column: [as_json(value) for value in values] for column, values in columns.items()}
        cases.append({"name": name, "columns": said, "expected": reference.table(columns)})
    FILE.write_text(json.dumps({"version": 1, "cases": cases}, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
