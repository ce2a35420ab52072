"""What differs between runs besides their results: params, data, packages, environment, machine, duration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlops_sdk.comparison.difference import MISSING, Difference, Varies, differing, same
from mlops_sdk.comparison.subject import Subject

_NUMBERS = re.compile(r"\d+")
_MOST_NAMES = 5


def param_differences(subjects: Sequence[Subject]) -> Iterator[Difference]:
    """Params by flat key."""
    return differing("params", [subject.params for subject in subjects])


def duration_differences(subjects: Sequence[Subject]) -> Iterator[Difference]:
    """Seconds from start to end; of groups the mean of their runs. There is always a difference."""
    if not all(subject.records for subject in subjects):
        return
    seconds = tuple(sum(each.duration_s for each in subject.records) / len(subject.records) for subject in subjects)
    if len(set(seconds)) > 1:
        ratio = seconds[-1] / seconds[0] if seconds[0] else 0.0
        yield Difference("duration", "duration_s", seconds, f"{ratio:.3g} times as long" if ratio else "")


# -- data ------------------------------------------------------------------------------------------------------------------

_SAME_DATA = "same data"


def dataset_differences(subjects: Sequence[Subject]) -> Iterator[Difference]:
    """Datasets by context: other values, other columns, other order of rows, or another name only."""
    for each in differing("datasets", _captured([subject.datasets for subject in subjects])):
        known = [value for value in each.values if value is not MISSING]
        note = "" if len(known) < 2 else _dataset_note(known[0], known[-1])
        yield replace(each, note=note)


def is_same_data(difference: Difference) -> bool:
    """Whether datasets differ in name or description only."""
    return difference.section == "datasets" and difference.note.startswith(_SAME_DATA)


def _dataset_note(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    parts = [_digest_note(old, new), *_row_note(old, new), *_column_notes(old, new)]
    return ", ".join(part for part in parts if part)


def _digest_note(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if _agree(old, new, "digest"):
        return f"{_SAME_DATA} under another description"
    if old.get("salt_id") != new.get("salt_id"):
        return "digests with different salts cannot be compared"
    has_order = _is_known(old, "digest") and _is_known(new, "digest")
    if _agree(old, new, "content_digest", "content"):
        return "same rows in another order" if has_order else f"{_SAME_DATA}, whose order is not known"
    if _agree(old, new, "schema_digest", "schema"):
        return "same columns, other values"
    return "other data" if has_order else ""


def _agree(old: Mapping[str, Any], new: Mapping[str, Any], *names: str) -> bool:
    return any(_is_known(old, name) and same(old[name], new.get(name)) for name in names)


def _is_known(dataset: Mapping[str, Any], name: str) -> bool:
    return bool(dataset.get(name)) and not isinstance(dataset[name], Varies)


def _row_note(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = old.get("n_rows"), new.get("n_rows")
    if isinstance(before, int) and isinstance(after, int) and before != after:
        yield f"{before:,} -> {after:,} rows"


def _column_notes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = old.get("columns"), new.get("columns")
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield _named("columns added", [name for name in after if name not in before])
        yield _named("columns removed", [name for name in before if name not in after])
        yield _named(
            "columns changed", [name for name in after if name in before and not same(before[name], after[name])]
        )


def _named(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return f"{what}: {', '.join(names[:_MOST_NAMES])}{more}"


# -- surroundings ----------------------------------------------------------------------------------------------------------


def package_differences(subjects: Sequence[Subject]) -> Iterator[Difference]:
    """Packages added, removed, changed; the note says how great the step between versions is."""
    packages = _captured([subject.packages for subject in subjects])
    for each in differing("packages", packages):
        old, new = each.values[0], each.values[-1]
        is_step = isinstance(old, str) and isinstance(new, str) and old != new
        yield replace(each, note=_version_step(old, new)) if is_step else each


def _version_step(old: str, new: str) -> str:
    before, after = (list(map(int, _NUMBERS.findall(version.partition("+")[0])[:3])) for version in (old, new))
    if before == after:
        return ""
    place = next((at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 2)
    return f"{('major', 'minor', 'patch')[place]}, {'newer' if after > before else 'older'}"


def environment_differences(subjects: Sequence[Subject]) -> Iterator[Difference]:
    """Interpreter, arguments, working directory, seeds, entry point."""
    entry_points = [{"entry_point": _one(subject, "entry_point")} for subject in subjects]
    yield from differing("environment", entry_points)
    yield from differing("environment", _captured([subject.environment for subject in subjects]))


def system_differences(subjects: Sequence[Subject]) -> Iterator[Difference]:
    """Machine and operating system."""
    return differing("system", _captured([subject.system for subject in subjects]))


def _one(subject: Subject, name: str) -> Any:
    values = {getattr(record.head, name) for record in subject.records}
    return values.pop() if len(values) == 1 else Varies(len(values))


def _captured(mappings: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The mappings, or none where one was not captured: a package is not gone because nobody looked."""
    return mappings if all(mappings) else ()


def not_captured(subjects: Sequence[Subject]) -> Iterator[str]:
    """What cannot be compared because a run does not have it, while another does."""
    for what in ("git", "packages", "environment", "system", "datasets"):
        lacking = [subject.label for subject in subjects if not getattr(subject, what)]
        if lacking and len(lacking) < len(subjects):
            done = "logged" if what == "datasets" else "captured"
            yield f"{what}: not {done} in {', '.join(lacking[:_MOST_NAMES])}, so not compared"
