"""Times as Python has them."""

from __future__ import annotations

from datetime import UTC, datetime


def from_ns(ns: int) -> datetime:
    """Nanoseconds since 1970 as a time in UTC, in whole microseconds: never later than it was.

    Examples
    --------
    >>> from_ns(1_750_000_000_123_456_999).isoformat()
    '2025-06-15T15:06:40.123456+00:00'
    """
    seconds, rest = divmod(ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
