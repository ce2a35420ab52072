"""What HTML of ours may consist of, whatever was stored: used by the tests of everything that a notebook shows."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

ELEMENTS = {
    "br", "circle", "details", "div", "line", "polyline", "pre", "rect", "span", "strong", "summary", "svg", "table",
    "tbody", "td", "th", "thead", "title", "tr", "a",
}  # fmt: skip
ATTRIBUTES = {
    "aria-label", "colspan", "cx", "cy", "fill", "height", "href", "open", "points", "r", "rel", "role", "stroke",
    "stroke-linecap", "stroke-linejoin", "stroke-width", "style", "title", "viewbox", "width", "x1", "x2", "xmlns", "y1",
    "y2",
}  # fmt: skip
STYLE = re.compile(r"[a-z0-9 :;,.#%()_-]*", re.IGNORECASE)

HOSTILE = (
    "<script>document.title='FIRED'</script>",
    "<img src=x onerror=\"document.title='FIRED'\">",
    "\"><svg onload=document.title='FIRED'>",
    "' onmouseover='document.title=\"FIRED\"' x='",
    "</td></tr></table></details></div><h1>out",
    "</title><script>document.title='FIRED'</script>",
    "<!--", "]]>", "<style>*{display:none}</style>",
    "<iframe srcdoc=\"<script>parent.document.title='FIRED'</script>\"></iframe>",
    "javascript:document.title='FIRED'",
    "[x](javascript:alert(1)) ![x](http://evil.example/x.png) $$\\unicode{x41}$$ `x`",
    "{{constructor.constructor('alert(1)')()}}", "${7*7} #{7*7} <%= 7*7 %>",
    "&lt;b&gt; &amp; &#x3c;script&#x3e;",
    "\x1b[31mred\x07\x1b]8;;http://evil.example\x07link", "a\r\nb\u2028c\u2029d", "\u202egnp.exe", "\ufeff\u200b",
    "a" * 5000, "\U0001f4a9 e\u0301 \u0645\u0631\u062d\u0628\u0627",
)  # fmt: skip
"""Abuse case A19, for every text field."""


def _is_hidden(character: str) -> bool:
    is_space = unicodedata.category(character) == "Zs"
    return not (character.isprintable() or is_space or character in "\n\u200c\u200d")


class Checked(HTMLParser):
    """HTML, read as a browser reads it; refuses what only stored text could have brought in.

    Attributes
    ----------
    text : str
        All text of the document.
    """

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == [], f"not closed: {self._open}"
        assert [character for character in self.text if _is_hidden(character)] == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, f"{tag} {name}"
            assert name != "style" or STYLE.fullmatch(value or ""), value
            assert name != "href" or re.match("https?://", value or "", re.IGNORECASE), value
        if tag != "br":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag != "br":
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open, tag
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data}")
