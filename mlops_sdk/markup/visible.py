"""Stored text, with everything that a reader does not see made visible."""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"
_JOINERS = "\u200c\u200d"
"""Zero-width joiner and non-joiner: Persian words and family emoji are made of them, and they reorder nothing."""


def visible(text: str) -> str:
    r"""Text without hidden characters.

    Control characters, line breaks, marks that reorder what a reader sees, invisible ones, lone surrogates and private or
    unassigned characters are shown as ``\x1b``, ``\u202e``; everything else stays as it is.

    Examples
    --------
    >>> print(visible("a\x1b[31mb\r\n\u202ec"))
    a\x1b[31mb\x0d\x0a\u202ec
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def clipped(text: str, limit: int) -> str:
    """Visible text of at most about `limit` characters; an ellipsis stands for what was cut."""
    return visible(text) if len(text) <= limit else visible(text[: max(0, limit - 1)]) + ELLIPSIS


def _shown(character: str) -> str:
    if character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs":
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
