"""Values as cards show them: numbers to six digits, times, durations, sizes."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def shown(value: Any) -> str:
    """A value as text, not escaped yet; nothing for None.

    Examples
    --------
    >>> shown(0.123456789), shown([1, {"a": None}]), shown(True), shown(10**6)
    ('0.123457', '[1, {"a": null}]', 'true', '1000000')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def is_number(value: Any) -> bool:
    """Whether a value is a number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def duration(seconds: float | None) -> str:
    """A duration in its two greatest units.

    Examples
    --------
    >>> duration(3725.0)
    '1 h 02 min'
    """
    if seconds is None or not math.isfinite(seconds):
        return ""
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def size(n_bytes: int) -> str:
    """A size in binary units."""
    power = min(int(math.log(n_bytes, 1024)), 5) if n_bytes >= 1024 else 0
    return f"{n_bytes / 1024**power:.1f} {_UNITS[power]}" if power else f"{n_bytes} B"
