"""G4 on a cluster: nodes without a network share a directory without locks, and a login node sends what they logged.

Each node is a process in mount, process and host name namespaces of its own, to which the shared directory is a network file
system on which locks hold nobody but oneself, as NFS mounted with ``nolock``. Nodes log at once, some are killed; the login
node syncs while they run and after. Every record has to reach the server once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from crash_lab.network import ServerProcess
from crash_lab.report import Findings, SkipError, Task
from mlops_sdk.errors import MlopsError
from mlops_sdk.stores.sqlite.store import SQLiteStore

_NODES = 2
_POINTS = 2_000
_NODE = """
import fcntl, os, signal, sys
from mlops_sdk.journal import filesystem, liveness
number, run_id, killed = sys.argv[1], sys.argv[2], sys.argv[3] == "killed"
filesystem.find_mount = lambda *_: filesystem.Mount("nfs4", frozenset({"nolock"}))
fcntl.flock = fcntl.lockf = lambda *_: None
liveness.boot_id = lambda: "boot of node " + number
import socket
socket.gethostname = lambda: "node" + number
import mlops_sdk
run = mlops_sdk.start_run(run_id=run_id, mode="offline", capture=False, system_metrics=False)
run.log_text("made on node " + number, "note.txt")
print("started", flush=True)
for step in range(int(sys.argv[4])):
    run.log_metric("loss", step / 7, step=step)
if killed:
    os.kill(os.getpid(), signal.SIGKILL)
run.finish()
"""


def run(task: Task) -> Findings:
    """As many clusters as there are trials."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "-p", "-f", "-u", "true"]).returncode:
        raise SkipError("making namespaces is refused")
    found = Findings()
    server = ServerProcess(task.root / "served")
    expected: list[str] = []
    try:
        for trial in range(task.trials):
            found.trials += 1
            home = task.root / f"home{trial}"
            (home / ".mlops").mkdir(parents=True)
            killed = [task.random.random() < 0.3 for _ in range(_NODES)]
            ids = [f"{trial}-{number}" for number in range(_NODES)]
            expected += ids
            nodes = [_start(home, number, ids[number], killed[number]) for number in range(_NODES)]
            for node in nodes:
                if node.stdout is not None:
                    node.stdout.readline()
            _sync(home, server)  # while they run
            for node in nodes:
                _, said = node.communicate(timeout=120)
                found.expect(b"Traceback" not in said, f"a node: {said[-300:]!r}")
            done = _sync(home, server)
            found.expect(done.returncode == 0, f"sync: {done.stdout!r} {done.stderr[-300:]!r}")
            _sync(home, server)
    finally:
        server.kill()
    _compare(task.root / "served", expected, found)
    found.notes = f"{len(expected)} nodes, {len(expected) * _POINTS:,} records; namespaces, no locks"
    return found


def _environment(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLOPS_")}
    root = str(Path(__file__).parents[1])
    return {**kept, "HOME": str(home), "PYTHONPATH": root}


def _start(home: Path, number: int, run_id: str, is_killed: bool) -> subprocess.Popen[bytes]:
    how = ["unshare", "-m", "-p", "-f", "-u", sys.executable, "-c", _NODE]
    words = [str(number), run_id, "killed" if is_killed else "ends", str(_POINTS)]
    return subprocess.Popen(
        [*how, *words], cwd=home, env=_environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _sync(home: Path, server: ServerProcess) -> subprocess.CompletedProcess[str]:
    words = ["sync", "--to", f"http://127.0.0.1:{server.port}", "--store", str(home / ".mlops")]
    return subprocess.run(
        [sys.executable, "-m", "mlops_sdk.cli", *words],
        cwd=home,
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=120,
    )


def _compare(path: Path, expected: list[str], found: Findings) -> None:
    store = SQLiteStore(path)
    try:
        for run_id in expected:
            series = store.series(run_id, "loss", rank="all")
            found.expect(series.step.tolist() == list(range(_POINTS)), f"{run_id}: {len(series)} points of {_POINTS}")
            (note,) = store.load([run_id], ["artifacts"])[run_id].artifacts
            text = store.blobs.path(note.sha256).read_text(encoding="utf-8")
            found.expect(text == f"made on node {run_id[-1]}", json.dumps(text))
    except (MlopsError, ValueError) as error:
        found.expect(False, f"{error}")
    finally:
        store.close()
