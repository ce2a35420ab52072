"""Stored text, numbers and times as a person sees them.

Every text that comes out of a store was written by somebody else. It reaches a terminal only through `escape`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mlops_sdk.markup import values
from mlops_sdk.markup.visible import visible

ELLIPSIS = "…"
BARS = "▁▂▃▄▅▆▇█"
_BRAILLE = {chr(0x2800 + bits): " .:-=+*%#"[bits.bit_count()] for bits in range(256)}
_ORNAMENTS = str.maketrans(
    dict(zip(BARS, "._-=+*%#", strict=True)) | _BRAILLE | {ELLIPSIS: "~", "└": "`", "│": "|", "┤": "+", "─": "-"}
)


def escape(text: str) -> str:
    r"""Stored text, harmless in a terminal.

    Control characters, line breaks, marks that reorder what a reader sees, invisible ones, lone surrogates and private or
    unassigned characters are shown as ``\x1b``, ``\u202e``; everything else stays as it is.

    Examples
    --------
    >>> print(escape("a\x1b[31mb\r\n\u202ec"))
    a\x1b[31mb\x0d\x0a\u202ec
    """
    return visible(text)


def fit(text: str, width: int) -> str:
    """Stored text, escaped, in at most `width` cells of a terminal; an ellipsis stands for what was cut."""
    from rich.cells import cell_len, set_cell_size

    if text.isascii() and text.isprintable() and len(text) <= width:
        return text
    bound = 4 * width + 8  # marks that combine take no cell: however many they are, a line is a line
    shown = escape(text[:bound])
    if len(text) <= bound and cell_len(shown) <= width:
        return shown
    return set_cell_size(shown, max(0, width - 1)).rstrip() + ELLIPSIS


def ascii_ornaments(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: our own ornaments get ASCII twins of the same width, other characters are escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    cut = error.object[error.start : error.end].translate(_ORNAMENTS)
    return cut.encode("ascii", "backslashreplace").decode("ascii"), error.end


# -- values --------------------------------------------------------------------------------------------------------------


def short(value: Any) -> str:
    """A value for a table: six digits of a float, text as it is (not escaped), nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return moment(value)
    return value if isinstance(value, str) else exact(value)


def exact(value: Any) -> str:
    """A value as text from which it can be had back; nothing for None. Text stays as it is (not escaped)."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return repr(value)
    from mlops_sdk.cli.formats import to_json

    return to_json(value, indent=None)


def is_number(value: Any) -> bool:
    """Whether a value is a number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


# -- times and sizes -----------------------------------------------------------------------------------------------------


def moment(time: datetime) -> str:
    """A time in the reader's zone, to the second."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(time: datetime, now: datetime) -> str:
    """How long ago, in one unit; a date beyond a month, and where another clock was ahead of ours."""
    seconds = (now - time).total_seconds()
    for limit, unit_s, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (30 * 86400, 86400, "d")):
        if -5 < seconds < limit:
            return f"{max(0, int(seconds / unit_s))} {unit} ago"
    return time.astimezone().strftime("%Y-%m-%d")


def duration(seconds: float | None) -> str:
    """A duration in its two greatest units."""
    return values.duration(seconds)


def size(n_bytes: int) -> str:
    """A size in binary units."""
    return values.size(n_bytes)


def count(n: int, singular: str, plural: str = "") -> str:
    """A number and its noun: 1 run, 2 runs."""
    return f"{n:,} {singular if n == 1 else plural or f'{singular}s'}"
