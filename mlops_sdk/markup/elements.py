"""HTML that cannot forget to escape: text becomes `Html` only through `element`, which escapes what is not `Html` yet."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from mlops_sdk.markup.visible import clipped

MAX_TEXT = 300
"""Characters of one piece of stored text that are shown; a name may be megabytes long."""

_VOID = frozenset({"br", "circle", "line", "path", "polyline", "rect"})
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*")


class Html(str):
    """Text that is HTML already; made by `element`, `text` and `join` only."""

    __slots__ = ()


def text(value: object, limit: int = MAX_TEXT) -> Html:
    """A value as escaped text: markup, hidden characters and endless lengths do no harm.

    Parameters
    ----------
    value : object
        Html stays as it is; everything else is shown as its ``str``.
    limit : int
        Characters; what is longer is cut, with an ellipsis.

    Examples
    --------
    >>> print(text("<b onclick='x'>"))
    &lt;b onclick=&#x27;x&#x27;&gt;
    """
    return value if isinstance(value, Html) else Html(html.escape(clipped(str(value), limit), quote=True))


def element(name: str, *children: object, **attributes: object) -> Html:
    """An element; children and attributes that are not `Html` are escaped.

    Parameters
    ----------
    name : str
        Written by us, never stored text.
    *children : object
        See `text`.
    **attributes : object
        Names as in HTML, with ``_`` for ``-`` and a ``_`` after Python's own words; None leaves one out, True gives a
        bare one. An attribute that runs code (``on...``) is a mistake of ours, and refused.

    Examples
    --------
    >>> print(element("td", "a & b", colspan=2, title='say "hi"'))
    <td colspan="2" title="say &quot;hi&quot;">a &amp; b</td>
    """
    assert _NAME.fullmatch(name), name
    shown = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    if name in _VOID and not children:
        return Html(f"<{name}{shown}/>")
    return Html(f"<{name}{shown}>{join(children)}</{name}>")


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    assert _NAME.fullmatch(name), name
    assert not name.lower().startswith("on"), name
    return f" {name}" if value is True else f' {name}="{html.escape(clipped(str(value), 10_000), quote=True)}"'


def join(children: Iterable[object], separator: str = "") -> Html:
    """Children one after the other, each escaped that is not `Html`."""
    return Html(text(separator).join(text(child) for child in children))


def link(label: object, url: str | None) -> Html:
    """A link where the address is one of the web; else the label alone (``javascript:`` and ``data:`` are no addresses).

    Examples
    --------
    >>> print(link("run", "javascript:alert(1)"))
    run
    """
    if url is None or not re.match(r"https?://[^\s]+\Z", url, re.IGNORECASE):
        return text(label)
    return element("a", label, href=url, rel="noopener noreferrer", style="color:inherit")
