"""The state of the code: commit, branch, what is not committed.

Looking must not touch: no command takes a lock or refreshes the index, and nothing that the repository's own
configuration names is executed (a file-system monitor, hooks, filters, external diffs, a transport that fetches missing
objects). A training job runs in directories that somebody else made.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlops_sdk.capture.record import Record
from mlops_sdk.capture.redact import redact_text, redact_url

TIMEOUT_S = 5.0
NAME_LIMIT = 1000
DIFF_LIMIT_BYTES = 1 << 20
OUTPUT_LIMIT_BYTES = 1 << 26
CUT_NOTE = "\n[cut: the diff is longer than 1 MiB]\n"

# `--no-ext-diff` and `--no-textconv` for the drivers of .gitattributes, full object names so that the text identifies a
# binary file too, no look into submodules (git would run another git in there, under that one's configuration).
_DIFF = (
    "diff-index", "--patch", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames",
    "--ignore-submodules=dirty", "HEAD", "--",
)  # fmt: skip
_STATUS = (
    "status",
    "--porcelain=v2",
    "--branch",
    "-z",
    "--no-renames",
    "--untracked-files=normal",
    "--no-ahead-behind",
    "--ignore-submodules=dirty",
)
_KEPT_VARIABLES = frozenset(
    {
        "GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM",
    }
)  # fmt: skip


class GitError(Exception):
    """A git command that did not do it; the text says why.

    Attributes
    ----------
    output : bytes
        What it wrote before.
    """

    def __init__(self, reason: str, output: bytes = b"") -> None:
        super().__init__(reason)
        self.output = output


def capture_git(cwd: str | Path, *, diff: bool = False) -> dict[str, Any]:
    """What the repository around a directory looks like.

    Parameters
    ----------
    cwd : str or Path
        Where to look; the repository is found from there, ``GIT_DIR`` and its like are ignored.
    diff : bool
        Whether to keep the text of the uncommitted diff. It is redacted, and cut at 1 MiB with a note.

    Returns
    -------
    dict
        ``root`` (str); ``commit`` (full hash, None before the first one); ``branch`` (None when detached); ``dirty`` (bool:
        tracked files differ from the commit); ``changed`` and ``untracked`` (sorted names relative to the root, at most
        1,000 of each, an untracked directory as one name) with ``changed_total`` and ``untracked_total``; ``remote`` (URL
        of *origin*, else of the first remote, without credentials; None without one); ``diff_sha256`` (of the uncommitted
        diff, untracked files not included; None when clean or before the first commit); with ``diff=True`` the text as ``diff``.

        Outside a repository, or without git, only ``errors``: reasons as text. Elsewhere ``errors`` stands beside what
        could be had.

    Notes
    -----
    Never raises, changes nothing. At most four subprocesses, ended after 5 s each. Clean filters are not run: a file under
    such a filter (Git LFS) whose time stamp changed may count as changed. Work trees of submodules are not looked into.

    References
    ----------
    .. [1] https://git-scm.com/docs/git-status, "Porcelain Format Version 2" and "Background Refresh"
    """
    record = Record()
    head = record.take("git", lambda: _head(cwd))
    if head is None:
        return record.to_dict()
    root = head["root"]
    record.update("git", lambda: {key: value and redact_text(value) for key, value in head.items()})
    settings = record.take("git config", lambda: _settings(root))
    if settings is None:  # which filters there are is not known: nothing that would run one
        return record.to_dict()
    record.add("remote", lambda: _remote(settings))
    options = record.take("git filters", lambda: _filters_off(settings))
    status = None if options is None else record.take("git status", lambda: _status(root, options))
    if options is None or status is None:
        return record.to_dict()
    record.update("git status", lambda: status)
    is_clean = head["commit"] is None or not status["dirty"]
    record.update("git diff", lambda: _uncommitted(root, options, is_clean=is_clean, keep_text=diff))
    return record.to_dict()


def _head(cwd: str | Path) -> dict[str, Any]:
    """Root, commit and branch in one command: they are there even where a status takes too long."""
    try:
        output = _run(["rev-parse", "--show-toplevel", "HEAD", "--abbrev-ref", "HEAD"], cwd)
    except GitError as error:
        if not error.output:
            raise
        output = error.output  # no commit yet: the root only
    root, *rest = output.decode("utf-8", "surrogateescape").splitlines()
    commit, branch = rest if len(rest) == 2 and rest[0] != "HEAD" else (None, None)
    return {"root": root, "commit": commit, "branch": None if branch == "HEAD" else branch}


def _settings(root: str) -> dict[str, str]:
    """Remotes and filters by configuration key."""
    listed = _run(["config", "-z", "--get-regexp", r"^(remote\..*\.url|filter\..*)$"], root, accepted=(0, 1))
    pairs = (entry.partition("\n") for entry in _texts(listed) if entry)
    return {key: value for key, _, value in pairs}


def _filters_off(settings: dict[str, str]) -> list[str]:
    """Options that keep git from running clean filters.

    Raises
    ------
    GitError
        If a filter has a name that no option can express, so that it could not be kept from running.
    """
    names = {key.split(".", 1)[1].rpartition(".")[0] for key in settings if key.startswith("filter.")}
    if any("=" in name or "\n" in name for name in names):
        raise GitError("the repository configures a filter with a name that cannot be switched off; not looked into")
    values = {"clean": "", "smudge": "", "process": "", "required": "false"}
    return [
        option
        for name in sorted(names)
        for variable, value in values.items()
        for option in ("-c", f"filter.{name}.{variable}={value}")
    ]


def _remote(settings: dict[str, str]) -> str | None:
    urls = [url for key, url in sorted(settings.items()) if key.startswith("remote.")]
    url = settings.get("remote.origin.url", urls[0] if urls else None)
    return None if url is None else redact_url(url)


def _status(root: str, options: list[str]) -> dict[str, Any]:
    heads: dict[str, str] = {}
    changed: list[str] = []
    untracked: list[str] = []
    for entry in _status_entries(_texts(_run([*options, *_STATUS], root))):
        kind, _, rest = entry.partition(" ")
        if kind == "#":
            name, _, value = rest.partition(" ")
            heads[name] = value
        elif kind == "?":
            untracked.append(rest)
        elif kind in _FIELDS_BEFORE_NAME:
            changed.append(entry.split(" ", _FIELDS_BEFORE_NAME[kind])[-1])
    return {
        "branch": None if heads.get("branch.head") == "(detached)" else redact_text(heads["branch.head"]),
        "dirty": bool(changed),
        **_named("changed", changed),
        **_named("untracked", untracked),
    }


_FIELDS_BEFORE_NAME = {"1": 8, "2": 9, "u": 10}


def _status_entries(texts: list[str]) -> Iterator[str]:
    entries = iter(texts)
    for entry in entries:
        if entry.startswith("2 "):
            next(entries, None)  # the name it had before
        if entry:
            yield entry


def _named(key: str, names: list[str]) -> dict[str, Any]:
    return {key: [redact_text(name) for name in sorted(names)[:NAME_LIMIT]], f"{key}_total": len(names)}


def _uncommitted(root: str, options: list[str], *, is_clean: bool, keep_text: bool) -> dict[str, Any]:
    """Digest of the diff against the commit, in constant memory however long it is; its beginning with `keep_text`."""
    if is_clean:
        return {"diff_sha256": None}
    digest = hashlib.sha256()
    start = bytearray()

    def take(chunk: bytes) -> None:
        digest.update(chunk)
        if keep_text and len(start) <= DIFF_LIMIT_BYTES:
            start.extend(chunk)

    _stream([*options, *_DIFF], root, take)
    return {"diff_sha256": digest.hexdigest()} | ({"diff": _diff_text(bytes(start))} if keep_text else {})


def _diff_text(start: bytes) -> str:
    is_cut = len(start) > DIFF_LIMIT_BYTES
    # Whole lines only: a secret cut in two could no longer be told by its shape.
    kept = start[: start.rfind(b"\n", 0, DIFF_LIMIT_BYTES) + 1] if is_cut else start
    return redact_text(kept.decode("utf-8", "backslashreplace")) + (CUT_NOTE if is_cut else "")


def commits_between(cwd: str | Path, old: str, new: str, *, diff: bool = False) -> dict[str, Any]:
    """What lies between two commits, where the repository around a directory has both.

    Parameters
    ----------
    cwd : str or Path
    old, new : str
        Full hashes; whatever else a store holds under that name is refused, and never reaches git.
    diff : bool
        Whether to give the text of the diff as well: redacted, cut at 1 MiB with a note.

    Returns
    -------
    dict
        ``commits`` (pairs of hash and subject: those of `new` that `old` does not have, newest first, at most 1,000) with
        ``commits_total``; ``files`` (sorted names that differ, at most 1,000) with ``files_total``; ``diff`` if asked for.

    Raises
    ------
    GitError
        If one is no full hash, there is no repository, or it lacks one of them.

    Notes
    -----
    As `capture_git`: changes nothing, executes nothing that the repository's configuration names.
    """
    if not (_HASH.fullmatch(old) and _HASH.fullmatch(new)):
        raise GitError("not a full commit hash")
    logged = _texts(
        _run(["log", "-z", "--no-color", "--no-show-signature", "--format=%H %s", f"{old}..{new}", "--"], cwd)
    )
    commits = [(line[: len(old)], redact_text(line[len(old) + 1 :])) for line in logged if line]
    tree = ["diff-tree", "-r", "--no-renames", "--no-ext-diff", "--no-textconv"]
    files = [name for name in _texts(_run([*tree, "--name-only", "-z", old, new, "--"], cwd)) if name]
    found = {"commits": commits[:NAME_LIMIT], "commits_total": len(commits), **_named("files", files)}
    if diff:
        found["diff"] = _diff_text(_run([*tree, "--patch", "--no-color", old, new, "--"], cwd))
    return found


_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


# --- running git -----------------------------------------------------------------------------------------------------


def _command(arguments: list[str]) -> list[str]:
    program = shutil.which("git")
    if program is None:
        raise GitError("git is not installed, or not on PATH")
    fixed = ("core.fsmonitor=false", f"core.hooksPath={os.devnull}", "core.sshCommand=false", "credential.helper=")
    safe = [option for setting in fixed for option in ("-c", setting)]
    return [program, "--no-pager", "--no-optional-locks", *safe, *arguments]


def _environment() -> dict[str, str]:
    """This process's variables, without those by which git is sent elsewhere or made to trace, and without transports."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT_VARIABLES}
    fixed = {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",  # what older versions have instead: a partial clone would fetch, by a helper
        "LC_ALL": "C",
    }
    return kept | fixed


def _run(arguments: list[str], cwd: str | Path, *, accepted: tuple[int, ...] = (0,)) -> bytes:
    """Output of a git command.

    Raises
    ------
    GitError
        As `_stream`, with what it wrote before.
    """
    output = bytearray()
    try:
        _stream(arguments, cwd, output.extend, accepted=accepted)
    except GitError as error:
        raise GitError(str(error), bytes(output)) from None
    return bytes(output)


def _stream(
    arguments: list[str],
    cwd: str | Path,
    take: Callable[[bytes], object],
    *,
    accepted: tuple[int, ...] = (0,),
) -> None:
    """Run a git command and hand its output on, chunk by chunk.

    Raises
    ------
    GitError
        If it cannot be started, fails, writes more than 64 MiB or is not done after 5 s; it is ended then.
    """
    complaint = bytearray()
    process = subprocess.Popen(
        _command(arguments),
        cwd=cwd,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=os.name == "posix",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    try:
        # Threads, because pipes cannot be waited for with a time limit on Windows; daemons, because a process that git
        # started could hold a pipe open for ever.
        pumps = [
            threading.Thread(target=_pump, args=(pipe, sink), daemon=True)
            for pipe, sink in ((process.stdout, take), (process.stderr, complaint.extend))
        ]
        for pump in pumps:
            pump.start()
        status = _wait(process, pumps)
    finally:
        _end(process)
    if status not in accepted:
        reason = complaint.decode("utf-8", "backslashreplace").strip() or f"git ended with status {status}"
        raise GitError(reason)


def _wait(process: subprocess.Popen[bytes], pumps: list[threading.Thread]) -> int:
    deadline = time.monotonic() + TIMEOUT_S
    try:
        status = process.wait(TIMEOUT_S)
        for pump in pumps:
            pump.join(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        status = None
    if status is None or any(pump.is_alive() for pump in pumps):
        raise GitError(f"git was not done after {TIMEOUT_S:g} s")
    return status


def _pump(pipe: io.BufferedReader, take: Callable[[bytes], object]) -> None:
    left = OUTPUT_LIMIT_BYTES
    with contextlib.suppress(OSError, ValueError), pipe:
        while left > 0 and (chunk := pipe.read1(1 << 16)):
            take(chunk)
            left -= len(chunk)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what may still run, with everything it started."""
    if process.poll() is not None:
        return
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)


def _texts(output: bytes) -> list[str]:
    return output.decode("utf-8", "surrogateescape").split("\0")
