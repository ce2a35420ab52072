"""What differs in the code: commits and their range, uncommitted files, the captured diff."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_sdk.comparison.difference import Difference, all_same
from mlops_sdk.comparison.subject import Subject

SHORT = 10
_MOST_FILES = 6
_MOST_LINES = 2000
"""Longer diffs are not compared line by line: that takes square time, and stored text may be made to."""


@dataclass(frozen=True, slots=True)
class CommitRange:
    """What lies between two commits; empty where no repository at hand has both.

    Attributes
    ----------
    old, new : str
        Full hashes.
    commits : tuple of (str, str)
        Hash and subject of those that `new` has and `old` has not, newest first.
    files : tuple of str
        Names that differ.
    n_commits, n_files : int
        All of them; the tuples end at 1,000.
    """

    old: str
    new: str
    commits: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    n_commits: int = 0
    n_files: int = 0

    def __str__(self) -> str:
        return f"{self.old[:SHORT]}..{self.new[:SHORT]}"


def find_range(subjects: Sequence[Subject]) -> CommitRange | None:
    """The range from the first's commit to the last's; None where they have one, or do not tell.

    Notes
    -----
    Only the repository around the working directory is looked at, never a path that a store names.
    """
    old, new = (subjects[index].git.get("commit") for index in (0, -1))
    if not (isinstance(old, str) and isinstance(new, str)) or old == new:
        return None
    found = _between(old, new)
    return CommitRange(
        old, new, tuple(found.get("commits", ())), tuple(found.get("files", ())),
        found.get("commits_total", 0), found.get("files_total", 0),
    )  # fmt: skip


def _between(old: str, new: str, *, diff: bool = False) -> dict[str, Any]:
    from mlops_sdk.capture.git import GitError, commits_between

    with contextlib.suppress(GitError, OSError):
        return commits_between(os.getcwd(), old, new, diff=diff)
    return {}


def code_differences(subjects: Sequence[Subject], between: CommitRange | None) -> Iterator[Difference]:
    """Commit, branch, remote, uncommitted changes."""
    states = [subject.git for subject in subjects]
    if not all(states):
        return
    for key in ("commit", "branch", "remote"):
        values = tuple(state.get(key) for state in states)
        if not all_same(values):
            yield Difference("code", key, values, _range_note(between) if key == "commit" else "")
    digests = tuple(state.get("diff_sha256") for state in states)
    if not all_same(digests):
        yield Difference("code", "uncommitted", tuple(map(_uncommitted, states)), _files_note(states[0], states[-1]))
    untracked = tuple(state.get("untracked") or [] for state in states)
    if not all_same(untracked):
        yield Difference("code", "untracked", untracked)


def _range_note(between: CommitRange | None) -> str:
    if between is None or not between.n_files:
        return "" if between is None else str(between)
    names = ", ".join(between.files[:_MOST_FILES]) + (", ..." if between.n_files > _MOST_FILES else "")
    commits, files = _counted(between.n_commits, "commit"), _counted(between.n_files, "file")
    return f"{between}, {commits}, {files}: {names}"


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _uncommitted(state: Mapping[str, Any]) -> Any:
    """The names of changed files; the digest of the diff tells those with the same names apart."""
    changed = state.get("changed")
    return list(changed) if isinstance(changed, list) and changed else []


def _files_note(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    before, after = set(map(str, _uncommitted(old))), set(map(str, _uncommitted(new)))
    parts = [f"+{name}" for name in sorted(after - before)] + [f"-{name}" for name in sorted(before - after)]
    parts += [f"~{name}" for name in sorted(before & after)]
    shown = ", ".join(parts[:_MOST_FILES]) + (", ..." if len(parts) > _MOST_FILES else "")
    has_text = any(isinstance(state.get("diff"), str) for state in (old, new))
    return shown + ("; the diff was captured" if has_text else "")


def code_diff(subjects: Sequence[Subject], between: CommitRange | None) -> str:
    """The code of the first against that of the last, as far as it is known, as text of a unified diff.

    Returns
    -------
    str
        The diff between their commits, where the repository around the working directory has both; then how their
        captured diffs of what was not committed differ. Empty where nothing is known, or nothing differs.
    """
    committed = "" if between is None else _between(between.old, between.new, diff=True).get("diff", "")
    first, last = ((subject.label, _captured_diff(subject)) for subject in (subjects[0], subjects[-1]))
    return committed + ("" if first[1] == last[1] else _diff_of_diffs(first, last))


def _captured_diff(subject: Subject) -> str:
    text = subject.git.get("diff")
    return text if isinstance(text, str) else ""


def _diff_of_diffs(first: tuple[str, str], last: tuple[str, str]) -> str:
    (old_label, old), (new_label, new) = first, last
    if not old:
        return new  # what one of them changed since its commit is the difference
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    if max(len(before), len(after)) > _MOST_LINES:
        return f"--- uncommitted in {old_label}\n{old}+++ uncommitted in {new_label}\n{new}"
    lines = difflib.unified_diff(before, after, f"uncommitted in {old_label}", f"uncommitted in {new_label}")
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
