from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_sdk.capture import git
from mlops_sdk.capture.git import capture_git

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def run_git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "code"
    root.mkdir()
    run_git(root, "init", "--quiet", "--initial-branch=main")
    (root / "train.py").write_text("lr = 1\n")
    (root / "eval.py").write_text("k = 1\n")
    run_git(root, "add", ".")
    run_git(root, "commit", "--quiet", "-m", "first")
    return root


def make_stat_dirty(path: Path) -> None:
    """Another time stamp, the same content: git reads the file again, through its filters."""
    os.utime(path, (1_000_000_000, 1_000_000_000))


def state_of(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below `root` with its time stamp and content."""
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*") if path.is_file()}


def test_a_clean_repository(repository: Path) -> None:
    captured = capture_git(repository)
    assert captured == {
        "root": str(repository.resolve()),
        "commit": run_git(repository, "rev-parse", "HEAD").strip(),
        "branch": "main",
        "remote": None,
        "dirty": False,
        "changed": [],
        "changed_total": 0,
        "untracked": [],
        "untracked_total": 0,
        "diff_sha256": None,
    }


def test_it_is_found_from_below_and_by_text_path(repository: Path) -> None:
    below = repository / "a" / "b"
    below.mkdir(parents=True)
    assert capture_git(str(below))["root"] == str(repository.resolve())


def test_what_is_not_committed_is_named_and_hashed(repository: Path) -> None:
    (repository / "train.py").write_text("lr = 2\n")
    (repository / "eval.py").unlink()
    (repository / "new dir").mkdir()
    (repository / "new dir" / "x").touch()
    (repository / "é.py").touch()
    (repository / "staged.py").touch()
    run_git(repository, "add", "staged.py")
    captured = capture_git(repository)
    assert captured["dirty"] is True
    assert captured["changed"] == ["eval.py", "staged.py", "train.py"]
    assert captured["untracked"] == ["new dir/", "é.py"]
    assert (captured["changed_total"], captured["untracked_total"]) == (3, 2)
    assert "diff" not in captured
    assert json.loads(json.dumps(captured)) == captured


def test_untracked_files_alone_are_not_dirt(repository: Path) -> None:
    (repository / "out.csv").touch()
    captured = capture_git(repository)
    assert captured["dirty"] is False
    assert captured["untracked"] == ["out.csv"]
    assert captured["diff_sha256"] is None


def test_the_digest_follows_the_content_and_not_the_configuration(repository: Path) -> None:
    (repository / "train.py").write_text("lr = 2\n")
    first = capture_git(repository)["diff_sha256"]
    for name, value in {"diff.noprefix": "true", "diff.context": "9", "color.ui": "always"}.items():
        run_git(repository, "config", name, value)
    assert capture_git(repository)["diff_sha256"] == first
    (repository / "train.py").write_text("lr = 3\n")
    assert capture_git(repository)["diff_sha256"] != first


def test_the_diff_is_kept_on_request_without_its_secrets(repository: Path) -> None:
    (repository / "train.py").write_text("lr = 2\nAPI_KEY = 'abcdef123456'\n")
    captured = capture_git(repository, diff=True)
    assert "+lr = 2\n" in captured["diff"]
    assert "+API_KEY = '***'\n" in captured["diff"]
    assert "abcdef123456" not in json.dumps(captured)
    raw = run_git(repository, "diff", "--full-index", "HEAD").encode()
    assert captured["diff_sha256"] == hashlib.sha256(raw).hexdigest()


def test_a_clean_repository_has_no_diff_text(repository: Path) -> None:
    assert "diff" not in capture_git(repository, diff=True)


def test_a_long_diff_is_cut_at_a_line_with_a_note(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "DIFF_LIMIT_BYTES", 2000)
    (repository / "train.py").write_text("".join(f"line = {number}\n" for number in range(2000)))
    captured = capture_git(repository, diff=True)
    kept = captured["diff"].removesuffix(git.CUT_NOTE)
    assert kept != captured["diff"]
    assert len(kept) <= 2000
    assert kept.endswith("\n")
    raw = run_git(repository, "diff", "--full-index", "HEAD").encode()
    assert captured["diff_sha256"] == hashlib.sha256(raw).hexdigest()


def test_at_most_a_thousand_names(repository: Path) -> None:
    for number in range(1005):
        (repository / f"f{number:04}").touch()
    captured = capture_git(repository)
    assert len(captured["untracked"]) == 1000
    assert captured["untracked"][0] == "f0000"
    assert captured["untracked_total"] == 1005


def test_the_remote_has_no_credentials(repository: Path) -> None:
    run_git(repository, "remote", "add", "backup", "https://u:hunter22@backup.example.org/a.git")
    assert capture_git(repository)["remote"] == "https://backup.example.org/a.git"
    run_git(repository, "remote", "add", "origin", "https://hunter22@example.org/a.git?token=hunter22")
    captured = capture_git(repository)
    assert captured["remote"] == "https://example.org/a.git"
    assert "hunter22" not in json.dumps(captured)


def test_before_the_first_commit(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "--quiet", "--initial-branch=trunk")
    (tmp_path / "a.py").touch()
    run_git(tmp_path, "add", ".")
    captured = capture_git(tmp_path, diff=True)
    assert (captured["commit"], captured["branch"], captured["dirty"]) == (None, "trunk", True)
    assert captured["diff_sha256"] is None
    assert "errors" not in captured


def test_a_detached_head(repository: Path) -> None:
    run_git(repository, "checkout", "--quiet", "--detach")
    captured = capture_git(repository)
    assert captured["branch"] is None
    assert len(captured["commit"]) == 40


def test_a_merge_conflict(repository: Path) -> None:
    for branch, text in (("other", "lr = 5\n"), ("main", "lr = 6\n")):
        run_git(repository, "checkout", "--quiet", "-B", branch, "main")
        (repository / "train.py").write_text(text)
        run_git(repository, "commit", "--quiet", "-am", branch)
    run_git(repository, "checkout", "--quiet", "-B", "mine", "main~1")
    (repository / "train.py").write_text("lr = 7\n")
    run_git(repository, "commit", "--quiet", "-am", "mine")
    with pytest.raises(subprocess.CalledProcessError):
        run_git(repository, "merge", "main")
    assert capture_git(repository)["changed"] == ["train.py"]


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no UTF-8 need a file system that takes them")
def test_a_file_name_that_is_no_text(repository: Path) -> None:
    (Path(os.fsdecode(os.fsencode(repository) + b"/\xff.bin"))).touch()
    assert capture_git(repository)["untracked"] == ["\\udcff.bin"]


def test_no_repository(tmp_path: Path) -> None:
    captured = capture_git(tmp_path)
    assert list(captured) == ["errors"]
    assert "not a git repository" in captured["errors"][0]


def test_no_directory(tmp_path: Path) -> None:
    captured = capture_git(tmp_path / "gone")
    assert list(captured) == ["errors"]
    assert "gone" in captured["errors"][0]


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert capture_git(tmp_path)["errors"] == ["git: GitError: git is not installed, or not on PATH"]


def test_variables_that_point_git_elsewhere_are_ignored(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    assert capture_git(repository)["branch"] == "main"
    assert not (tmp_path / "trace").exists()


# --- looking must not touch ------------------------------------------------------------------------------------------


def test_nothing_in_the_repository_changes(repository: Path) -> None:
    make_stat_dirty(repository / "train.py")
    (repository / "eval.py").write_text("k = 2\n")
    before = state_of(repository)
    assert capture_git(repository, diff=True)["changed"] == ["eval.py"]
    assert state_of(repository) == before


@pytest.mark.skipif(os.name != "posix", reason="the traps are shell scripts")
def test_nothing_that_the_repository_configures_is_executed(repository: Path, tmp_path: Path) -> None:
    trap, sprung = tmp_path / "trap", tmp_path / "sprung"
    trap.write_text(f'#!/bin/sh\necho "$0 $@" >> {sprung}\ncat\n')
    trap.chmod(trap.stat().st_mode | stat.S_IXUSR)
    hooks = repository / ".git" / "hooks"
    for hook in ("post-index-change", "pre-commit", "fsmonitor-watchman", "reference-transaction"):
        shutil.copy(trap, hooks / hook)
    (repository / ".gitattributes").write_text("*.py filter=trap diff=trap\n")
    settings = {
        "core.fsmonitor": trap, "core.pager": trap, "pager.status": trap, "pager.diff": trap, "diff.external": trap,
        "diff.trap.command": trap, "diff.trap.textconv": trap, "filter.trap.clean": trap, "filter.trap.smudge": trap,
        "filter.trap.required": "true", "core.sshCommand": trap, "credential.helper": trap, "core.editor": trap,
        "core.hooksPath": hooks, "alias.status": f"!{trap}", "gpg.program": trap, "interactive.diffFilter": trap,
    }  # fmt: skip
    for name, value in settings.items():
        run_git(repository, "config", name, str(value))
    make_stat_dirty(repository / "train.py")
    (repository / "eval.py").write_text("k = 2\n")
    captured = capture_git(repository, diff=True)
    assert not sprung.exists(), sprung.read_text()
    assert captured["changed"] == ["eval.py"]
    assert "+k = 2" in captured["diff"]
    run_git(repository, "status")
    assert sprung.exists()  # the traps are real


def test_a_filter_that_cannot_be_switched_off_is_not_risked(repository: Path) -> None:
    with (repository / ".git" / "config").open("a") as config:
        config.write('[filter "a=b"]\n\tclean = touch sprung\n')
    captured = capture_git(repository, diff=True)
    assert captured["branch"] == "main"
    assert "dirty" not in captured
    assert "cannot be switched off" in captured["errors"][0]


@pytest.mark.skipif(os.name != "posix", reason="the hanging git is a shell script")
def test_a_git_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "TIMEOUT_S", 0.3)
    sleep = shutil.which("sleep")
    pids = tmp_path / "pids"
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n{sleep} 60 &\necho $! $$ > {pids}\nwait\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    started = time.monotonic()
    captured = capture_git(tmp_path)
    assert time.monotonic() - started < 5
    assert captured["errors"] == ["git: GitError: git was not done after 0.3 s"]
    for pid in map(int, pids.read_text().split()):
        assert not is_running(pid)


def is_running(pid: int) -> bool:
    """Whether the process goes on: one that was killed may be waiting for its parent to take notice."""
    import psutil

    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return False
        except psutil.NoSuchProcess:
            return False
        time.sleep(0.01)
    return True
