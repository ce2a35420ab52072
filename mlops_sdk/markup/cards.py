"""The pieces of which everything shown in a notebook is made: cards, sections, facts, tables, statuses.

Nothing here sets a background or a colour of text: both are the page's, so that a card fits light and dark themes,
whoever chose them. The few accents are Okabe and Ito's (the orange darker), which stand out from white and from black
[1]_. Styles stand in the elements, because viewers of saved notebooks drop style sheets.

References
----------
.. [1] M. Okabe and K. Ito, "Color Universal Design" (2008), https://jfly.uni-koeln.de/color/
.. [2] ``docs/adr/0008-plots-and-notebook-output.md``
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from mlops_sdk.markup.elements import Html, element, join, text

ACCENTS = {
    "RUNNING": "#0072B2",
    "FINISHED": "#009E73",
    "FAILED": "#D55E00",
    "KILLED": "#CC79A7",
    "LOST": "#C08400",
}
"""Colours of statuses; the word always stands beside them."""

_FRAME = "font-size:13px;line-height:1.45;max-width:100%;overflow-x:auto;margin:4px 0;color:inherit"
_RULE = "1px solid rgba(128,128,128,.35)"
_CELL = "padding:2px 14px 2px 0;vertical-align:top;border:none;background:none;color:inherit;font-size:inherit"
_NUMBER = "text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap"
_MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.92em"


def card(title: object, *body: object, subtitle: object = "", status: str | None = None) -> Html:
    """A frame with a heading.

    Parameters
    ----------
    title, subtitle : object
        Stored text is escaped; see `mlops_sdk.markup.elements.text`.
    *body : object
        What follows below, each piece escaped unless it is `Html`.
    status : str, optional
        Of a run, shown after the title.
    """
    heading = [element("strong", title, style="font-size:1.15em;overflow-wrap:anywhere")]
    if status:
        heading.append(element("span", badge(status), style="margin-left:12px;white-space:nowrap"))
    if subtitle:
        heading.append(element("span", faint(subtitle), style="margin-left:12px"))
    top = element("div", *heading, style=f"padding-bottom:4px;margin-bottom:6px;border-bottom:{_RULE}")
    return element("div", top, *body, style=_FRAME)


def section(title: object, body: Html, *, is_open: bool = True) -> Html:
    """A part of a card that opens and closes by a click, without a script; nothing where there is no body."""
    if not body:
        return Html()
    summary = element("summary", title, style="cursor:pointer;font-weight:600;margin:4px 0 2px")
    inner = element("div", body, style="margin-left:14px;overflow-x:auto")
    return element("details", summary, inner, open=True if is_open else None)


def badge(status: str) -> Html:
    """A status: its word, and a dot in its colour."""
    colour = ACCENTS.get(status, "#999999")
    dot = "display:inline-block;width:.62em;height:.62em;border-radius:50%;margin-right:.4em"
    return join([element("span", style=f"{dot};background:{colour}"), status])


def faint(content: object) -> Html:
    """Less important text."""
    return element("span", content, style="opacity:.72")


def code(content: object) -> Html:
    """An id, a path, a digest."""
    return element("span", content, style=_MONO)


def lines(content: str, limit: int = 12) -> Html:
    """Text of several lines, the first `limit` of them."""
    shown: list[object] = list(content[:20_000].splitlines())
    cut = [faint(f"… {len(shown) - limit:,} more lines")] if len(shown) > limit else []
    return join([part for line in [*shown[:limit], *cut] for part in (line, element("br"))][:-1])


def preformatted(content: str, limit: int = 30) -> Html:
    """The last `limit` lines of a log or a traceback, in a fixed pitch, as they are."""
    shown = content.rstrip().splitlines()[-limit:]
    style = f"{_MONO};white-space:pre-wrap;overflow-wrap:anywhere;margin:2px 0;background:none;color:inherit;padding:0"
    return element("pre", join(shown, Html("\n")), style=style)


def facts(pairs: Mapping[str, object] | Iterable[tuple[str, object]]) -> Html:
    """Names and values, a line each; those without a value are left out."""
    given = pairs.items() if isinstance(pairs, Mapping) else pairs
    known = [(name, value) for name, value in given if value not in (None, "")]
    named, told = "white-space:nowrap;text-align:left", "overflow-wrap:anywhere;text-align:left"
    rows = [
        element("tr", _cell(faint(name), named), _cell(value, told), style="background:none") for name, value in known
    ]
    return _table(rows) if rows else Html()


def table(
    titles: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Collection[int] = (),
    n_left_out: int = 0,
    noun: str = "row",
    is_wrapped: bool = True,
) -> Html:
    """A table.

    Parameters
    ----------
    titles : sequence of object, length k
    rows : iterable of sequence of object, each of length k
        Escaped unless they are `Html`.
    numbers : collection of int
        Indices of the columns that hold numbers: aligned to the right.
    n_left_out : int
        How many further rows there are; said below.
    noun : str
        What a row is.
    is_wrapped : bool
        Whether a cell may have several lines; else the table scrolls where it is too wide.
    """
    words = "text-align:left" if is_wrapped else "text-align:left;white-space:nowrap"
    styles = [_NUMBER if index in numbers else words for index in range(len(titles))]
    head = element("tr", *(_heading(title, style) for title, style in zip(titles, styles, strict=True)))
    body = [
        element("tr", *(_cell(value, style) for value, style in zip(row, styles, strict=True)), style="background:none")
        for row in rows
    ]
    more = f"… and {n_left_out:,} more {noun}{'s' if n_left_out > 1 else ''}" if n_left_out > 0 else ""
    return join([_table(body, head), element("div", faint(more)) if more else Html()])


def _table(rows: Sequence[Html], head: Html | None = None) -> Html:
    style = "border-collapse:collapse;border:none;margin:2px 0;font-size:inherit;color:inherit;table-layout:auto"
    parts = [] if head is None else [element("thead", head, style=f"border-bottom:{_RULE};background:none")]
    return element("table", *parts, element("tbody", *rows), style=style)


def _heading(title: object, style: str) -> Html:
    return element("th", text(title, 80), style=f"{_CELL};{style};font-weight:600;white-space:nowrap")


def _cell(value: object, style: str) -> Html:
    return element("td", text(value), style=f"{_CELL};max-width:60em;{style}")
