"""A1-A4: names are never paths; links, FIFOs and devices are not followed."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mlops_sdk
from mlops_sdk import InvalidValueError
from tests.guarantees.every_call import QUIET

_MARK = "qzx7"
"""In every name: no path that is opened may hold it."""
NAMES = [
    "../x", "..\\x", "/etc/passwd", "C:\\x", "C:x", "\\\\h\\s", "//h/s", "file:///x", "~root", "a/../../b", "....//x",
    "x" * 300, "/".join("d" * 500)[:900], "%2e%2e%2fx", "%252e%252e%252fx", "%25252e%25252fx", "%c0%ae%c0%ae/x",
    "x%00y", "x;y", "x?y", "x#y", "x\r\ny", "\u202ex", "e\u0301x", "\u00e9x", "．．／x", "x\u200by", "😀", "CON", "aux.txt",
    "x.", "x ", " ",
]  # fmt: skip

_opened: list[str] = []
_is_watching = threading.Event()


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _is_watching.is_set() and event.split(".", maxsplit=1)[0] in (
        "open",
        "os",
        "shutil",
        "glob",
        "pathlib",
        "socket",
        "subprocess",
    ):
        _opened.extend(f"{event}: {argument!r}" for argument in arguments if _MARK in str(argument))


sys.addaudithook(_watch)


@contextmanager
def watched() -> Iterator[list[str]]:
    """File-system calls, of any thread, that a name has got into."""
    _opened.clear()
    _is_watching.set()
    try:
        yield _opened
    finally:
        _is_watching.clear()


def test_the_watch_sees_what_it_should(tmp_path: Path) -> None:
    with watched() as opened:
        (tmp_path / _MARK).write_text("x")
    assert opened


def test_no_name_of_anything_gets_into_a_path(tmp_path: Path) -> None:
    names = [f"{name}{_MARK}" for name in NAMES] + [f"{_MARK}{name}" for name in NAMES]
    with watched() as opened:
        for number, name in enumerate(names):
            fits = name[:100] if len(name.encode()) > 128 else name
            with mlops_sdk.start_run(
                tracking_uri=tmp_path, experiment=name, name=name, run_id=f"{number} {fits}"[:40], **QUIET
            ) as run:
                run.log_metric(name, 1.0)
                run.log_param(name, name)
                run.set_tag(name, name)
                run.log_text(name, name)
            assert run.health()["errors"] == {}
            view = mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path)
            assert list(view.metrics) == list(view.params) == list(view.tags) == [ref.path for ref in view.artifacts]
            assert view.artifact(name).read_bytes().decode() == name
    assert opened == []
    print(f"A1, A2: {len(names)} names in 6 places each, 0 in a path")


DANGEROUS = [
    "../x",
    "/etc/passwd",
    "a/../../b",
    "..",
    ".",
    "C:\\x",
    "a\\..\\b",
    "CON",
    "a.",
    "a ",
    "a//b",
    "a\nb",
    "\u202eb",
]


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_download_stays_in_its_directory(tmp_path: Path, name: str) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET) as run:
        run.log_text("text", name)
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    with pytest.raises(InvalidValueError, match="cannot become a file"):
        run.download(name, target)
    assert list((tmp_path / "deep").rglob("*")) == [target]


def test_a_download_follows_no_link(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET) as run:
        run.log_text("text", "file.txt")
        run.log_text("text", "deep/file.txt")
    target = tmp_path / "target"
    target.mkdir()
    (target / "file.txt").symlink_to(tmp_path / "outside.txt")
    (target / "deep").symlink_to(tmp_path)
    for name in ("file.txt", "deep/file.txt"):
        with pytest.raises(InvalidValueError, match="link"):
            run.download(name, target)
    assert not (tmp_path / "outside.txt").exists()
    assert not (tmp_path / "file.txt").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.timeout(20)
def test_links_fifos_and_sockets_are_skipped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (tree / "fine.txt").write_text("fine")
    (tree / "link.txt").symlink_to(tmp_path / "secret.txt")
    (tree / "up").symlink_to(tmp_path)
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "fifo")
    monkeypatch.chdir(tree)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET) as run:
            refs = run.log_artifacts(tree)
            single = [run.log_artifact(tree / name) for name in ("fifo", "socket")] + [run.log_artifact("/dev/zero")]
    assert [ref.path for ref in refs] == ["fine.txt"]
    assert not any(single)
    assert all("regular" in str(ref.error) or "is a" in str(ref.error) for ref in single)
    assert run.health()["errors"]["SkippedFile"] >= 4
    assert b"secret" not in b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
