"""The results as Markdown: on the screen, in ``docs/benchmarks.md``, and the few columns that the README shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.columns import README_COLUMNS, SECTIONS, Column, short
from benchmarks.peers.results import Results
from benchmarks.peers.workloads import N_PROCESSES

ROOT = Path(__file__).parents[2]
DATA = Path("docs", "data", "peers.json")
CHART = Path("docs", "images", "peers.png")
_BLOCK = re.compile(r"(?s)(<!-- peers -->\n).*?(<!-- /peers -->)")
NONE_YET = "Not measured yet.\n"


def tables(results: Results) -> str:
    """All tables, what they are of, and what failed."""
    parts = [_about(results), _yardsticks(results)]
    for title, columns in SECTIONS.items():
        measured = [column for column in columns if column.is_measured(results)]
        parts += [f"### {title}", _table(results, measured)] if measured else []
    parts += [_behind(results), _failures(results), _notes(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def short_table(results: Results) -> str:
    """What the README shows."""
    picture = f"![Costs and losses beside other trackers, logarithmic]({CHART})\n\n"
    return f"{picture}{_table(results, README_COLUMNS)}\n\n{_about(results)} [All of it](docs/benchmarks.md).\n"


def write_documents(results: Results, root: Path = ROOT) -> None:
    """Write data, chart, and the blocks of both pages."""
    from benchmarks.peers import chart

    results.save(root / DATA)
    results = Results.load(root / DATA)  # so that the pages show what the data say, digit for digit
    chart.draw(results, root / CHART)
    for page, block in blocks(results).items():
        path = root / page
        path.write_text(filled(path.read_text(encoding="utf-8"), block), encoding="utf-8")


def blocks(results: Results | None) -> dict[Path, str]:
    """What stands between the markers of each page."""
    if results is None:
        return {Path("docs", "benchmarks.md"): NONE_YET, Path("README.md"): ""}
    picture = f"![The figures as a chart, logarithmic]({CHART.relative_to('docs')})\n\n"
    data = f"\nThe figures of every repeat: [{DATA.name}]({DATA.relative_to('docs')}).\n"
    return {
        Path("docs", "benchmarks.md"): picture + tables(results) + data,
        Path("README.md"): short_table(results),
    }


def block_of(text: str) -> str:
    """What stands between the markers of a page.

    Raises
    ------
    ValueError
        If there are none, or several.
    """
    found = [match[0].partition("\n")[2].removesuffix("<!-- /peers -->") for match in _BLOCK.finditer(text)]
    if len(found) != 1:
        raise ValueError("a page needs one block between <!-- peers --> and <!-- /peers -->")
    return found[0]


def filled(text: str, block: str) -> str:
    """The page with another block."""
    block_of(text)
    return _BLOCK.sub(lambda match: f"{match[1]}{block}{match[2]}", text)


# -- parts -----------------------------------------------------------------------------------------------------------


def _table(results: Results, columns: Sequence[Column]) -> str:
    lines = [
        "| | " + " | ".join(column.title for column in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, system in results.systems.items():
        label = f"{system['label']} {system['version']}".strip()
        cells = [column.cell(results, name) for column in columns]
        lines.append(f"| {f'**{label}**' if system['is_ours'] else label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _about(results: Results) -> str:
    about = results.about
    quick = " Quick: smaller numbers than the real thing." if about.get("quick") else ""
    return f"{about['machine']}; network: {about['network']}.{quick}"


def _yardsticks(results: Results) -> str:
    """The machine's, over all children."""

    def middle(metric: str) -> float | None:
        values = sorted(value for system in results.figures for value in results.values(system, metric))
        return values[len(values) // 2] if values else None

    parts = [
        f"{what} {short(value)} us"
        for what, metric in (
            ("a line of text to a line-buffered file", "line_us"),
            ("`write(2)` of 32 bytes", "write_us"),
            ("an append to a list", "append_us"),
        )
        if (value := middle(metric)) is not None
    ]
    megabytes = middle("dataset_mb")
    parts += [
        f"{what} {short(megabytes / value)} GB/s"
        for what, metric in (("memcpy", "memcpy_ms"), ("SHA-256", "sha256_ms"))
        if megabytes and (value := middle(metric))
    ]
    sizes = [
        f"{what} {int(size):,} {unit}"
        for what, metric, unit in (
            ("a long metric has", "n_history", "points"),
            ("the table", "n_table", "runs"),
            ("the data set", "dataset_mb", "MB"),
        )
        if (size := middle(metric))
    ]
    said = f"Yardsticks, in the same processes: {', '.join(parts)}." if parts else ""
    return said + (f" Sizes: {', '.join(sizes)}." if sizes else "")


def _behind(results: Results) -> str:
    """Where another tracker is better than ours; the floor is no tracker."""
    ours = next((name for name, system in results.systems.items() if system["is_ours"]), None)
    if ours is None:
        return ""
    lines = []
    for column in (column for columns in SECTIONS.values() for column in columns):
        mine = column.number(results, ours)
        others = {
            name: value
            for name, system in results.systems.items()
            if not system["is_ours"] and name != "lines" and (value := column.number(results, name)) is not None
        }
        better = [name for name, value in sorted(others.items(), key=lambda item: item[1]) if mine and value < mine]
        if better:
            named = ", ".join(f"{results.systems[name]['label']} {column.cell(results, name)}" for name in better)
            lines.append(f"- {column.title}: {column.cell(results, ours)}; better: {named}")
    return "Where mlops_sdk is behind:\n\n" + "\n".join(lines) if lines else ""


def _failures(results: Results) -> str:
    """Every failure, with its message."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in results.systems:
        for workload, trouble in results.troubles.get(name, {}).items():
            if trouble["kind"] == "failed":
                times = f" ({trouble['times']} times)" if trouble["times"] > 1 else ""
                found.setdefault((name, trouble["reason"]), []).append(workload + times)
    lines = [
        f"- {results.systems[name]['label']}, {', '.join(workloads)}: {_plain(reason)}"
        for (name, reason), workloads in found.items()
    ]
    return "What failed:\n\n" + "\n".join(lines) if lines else ""


def _plain(text: str) -> str:
    """Of a foreign message what a page can show, in one line."""
    return "`" + " ".join(text.replace("`", "'").replace("|", "/").split())[:200] + "`"


def _notes(results: Results) -> str:
    lines = [f"- {system['label']}: {system['note']}." for system in results.systems.values() if system["note"]]
    return f"How each was used ({N_PROCESSES} processes start at once):\n\n" + "\n".join(lines) if lines else ""
