"""G24 and A31: what is made is readable by its owner only, whatever the umask; somebody else's store is refused."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

import mlops_sdk
from tests.guarantees import processes
from tests.guarantees.every_call import QUIET, call_all

pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")

_FULL = """
import os, sys
from pathlib import Path
place, store = Path(sys.argv[1]), Path(sys.argv[2])
files = place.parent / "files"
files.mkdir()
os.umask(int(sys.argv[3], 8))
import mlops_sdk
from tests.guarantees.every_call import call_all
with mlops_sdk.start_run(tracking_uri=store, run_id="r") as run:
    call_all(run, files)
    run.artifact_path("late/file.txt").write_text("late")
    for step in range(5_000):
        run.log_metric("loss", 1.0, step=step)
    run.flush()
    print(*sorted(f"{path.stat().st_mode & 0o7777:o} {path}" for path in place.rglob("*")), sep="\\n")
with mlops_sdk.start_run(tracking_uri=store, run_id="r", resume="must", from_step=10, capture=False) as run:
    run.log_metric("loss", 1.0)
mlops_sdk.start_run(tracking_uri=store, run_id="gone", capture=False).finish()
mlops_sdk.delete_run("gone", tracking_uri=store)
kept = mlops_sdk.open_store(store)
kept.gc(grace_s=0)
kept.backup(place / "backup" / "of" / "it")
from mlops_sdk.blobs.local import LocalBlobs
from mlops_sdk.errors import StoreUnavailableError
def fail(*_, **__):
    raise StoreUnavailableError("no room")
LocalBlobs.put_bytes = fail
run = mlops_sdk.start_run(tracking_uri=store, run_id="late", capture=False)
run.log_text("text", "text.txt")
del LocalBlobs.put_file
LocalBlobs.put_file = fail
os._exit(0)
"""


def _open_to_others(place: Path) -> list[str]:
    paths = [path for path in place.rglob("*") if not path.is_symlink()]
    return [f"{stat.S_IMODE(path.stat().st_mode):o} {path}" for path in paths if path.stat().st_mode & 0o077]


def _is_the_programs(path: str) -> bool:
    """The program's own file, which it made in a private directory of ours."""
    return path.endswith("late/file.txt")


@pytest.mark.slow
@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_everything_made_is_the_owners_only(tmp_path: Path, umask: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    environment = processes.environment(
        XDG_STATE_HOME=str(place / "state" / "deep"),
        TMPDIR=str(place),
        MLOPS_SPOOL="",
        PYTHONPYCACHEPREFIX=str(tmp_path),
    )
    done = processes.run(_FULL, place, place / "some" / "where" / "store", umask, env=environment)
    assert done.returncode == 0, done.stderr
    during = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert len(during) > 20
    assert [f"{mode} {path}" for mode, path in during if int(mode, 8) & 0o077 and not _is_the_programs(path)] == []
    assert list((place / "state" / "deep" / "mlops" / "fallback").iterdir()), "the fallback was used"
    assert _open_to_others(place) == []
    mlops_sdk.search_runs(tracking_uri=place / "some" / "where" / "store")
    assert _open_to_others(place) == []
    print(f"G24 umask {umask}: {len(list(place.rglob('*')))} inodes, 0 open to others")


def test_a_spool_is_private_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_SPOOL", str(tmp_path / "a" / "spool"))
    before = os.umask(0)
    try:
        run = mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET)
        run.log_metric("x", 1.0)
        assert _open_to_others(tmp_path) == []
        run.finish()
    finally:
        os.umask(before)


def test_a_shared_store_is_the_groups_and_nobody_elses(tmp_path: Path) -> None:
    from mlops_sdk.stores import location

    shared, _ = location.make(location.Location(tmp_path / "lab", "named", is_explicit=True), shared=True)
    with mlops_sdk.start_run(tracking_uri=shared.path, **QUIET) as run:
        call_all(run, tmp_path / "files", ["log_metric", "log_text", "log_param"])
    assert shared.path.stat().st_mode & 0o2770 == 0o2770
    assert [path for path in shared.path.rglob("*") if path.stat().st_mode & 0o007] == []


_FOREIGN = """
import os, sys
from pathlib import Path
import mlops_sdk
from tests.guarantees.processes import become_nobody
place = Path(sys.argv[1])
become_nobody(place / "scratch")
try:
    mlops_sdk.start_run(tracking_uri=place / "store", capture=False, system_metrics=False)
except mlops_sdk.StoreUnavailableError as error:
    print("refused:", error)
try:
    print("read:", mlops_sdk.get_run("r", tracking_uri=place / "store").metrics)
except mlops_sdk.MlopsError as error:
    print("not read:", type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can make what is somebody else's")
@pytest.mark.parametrize("mode", [0o777, 0o755, 0o700])
def test_a_store_of_somebody_else_is_refused(open_directory: Path, mode: int) -> None:
    (open_directory / "scratch").mkdir()
    os.chown(open_directory / "scratch", processes.NOBODY, processes.NOBODY)
    store = open_directory / "store"
    with mlops_sdk.start_run(tracking_uri=store, run_id="r", **QUIET) as run:
        run.log_metric("x", 1.0)
    for path in (store, store / "journals", store / "blobs"):
        os.chown(path, 0, 0)
        os.chmod(path, mode)
    os.chown(store / "store.db", 0, 0)
    os.chmod(store / "store.db", 0o644 if mode != 0o700 else 0o600)
    before = _contents(store)
    done = processes.run(_FOREIGN, open_directory)
    assert done.returncode == 0, done.stderr
    refused, read = done.stdout.splitlines()
    assert refused.startswith("refused:")
    assert "belongs to" in refused or mode == 0o700
    assert "tracking_uri=" in refused
    assert read == ("read: {'x': 1.0}" if mode != 0o700 else read)
    assert "Traceback" not in done.stderr
    assert _contents(store) == before


def _contents(store: Path) -> dict[str, bytes]:
    """What SQLite puts beside the database to read it, in a directory that everybody may write to, is left out."""
    files = (path for path in store.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal")))
    return {str(path): path.read_bytes() for path in files}
