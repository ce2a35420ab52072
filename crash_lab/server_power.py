"""G5: a server answers only when what it was sent is on its disk: the power goes right after an answer.

The server's store lies in an ext4 of its own (see `crash_lab.power`); the client drops what is acknowledged, as a real one
does. After the cut everything acknowledged must be there.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time

from crash_lab.network import ServerProcess
from crash_lab.power import DROP_EVERYTHING, SHUTDOWN, make_image, mounted
from crash_lab.report import Findings, Task
from mlops_sdk.errors import MlopsError
from mlops_sdk.stores.http.client import Patience
from mlops_sdk.stores.http.store import HTTPStore
from mlops_sdk.stores.sqlite.store import SQLiteStore
from mlops_sdk.testing import WriterScript


def run(task: Task) -> Findings:
    """Cut the power `task.trials` times."""
    found = Findings()
    image, point = task.root / "disk.img", task.root / "disk"
    make_image(image)
    point.mkdir()
    promised = 0
    for trial in range(task.trials):
        found.trials += 1
        with mounted(image, point, "data=ordered"):
            points, blob = _send_and_cut(task, trial, str(point))
        with mounted(image, point, "data=ordered"):
            store = SQLiteStore(point / f"store{trial}")
            try:
                series = store.series("r", "loss")
                found.expect(
                    series.step.tolist()[:points] == list(range(points)),
                    f"{len(series)} points of {points} acknowledged",
                )
                found.expect(store.blobs.path(blob).read_bytes() == _content(trial), "an artifact is damaged")
                found.expect(not store.fsck(), "fsck")
            except MlopsError as error:
                found.expect(False, f"{points} points acknowledged: {error}")
            finally:
                store.close()
        promised += points
    found.notes = f"{promised:,} acknowledged points and {found.trials} artifacts; ext4 in a file"
    return found


def _send_and_cut(task: Task, trial: int, point: str) -> tuple[int, str]:
    """Returns what was acknowledged: the number of points, and an artifact."""
    server = ServerProcess(task.root / "disk" / f"store{trial}")
    disk = os.open(point, os.O_RDONLY)
    try:
        store = HTTPStore(f"http://127.0.0.1:{server.port}", patience=Patience(budget_s=10.0))
        blob = store.blobs.put_bytes(_content(trial)).sha256
        script, points = WriterScript("r").run(name="r"), 0
        end = time.monotonic() + task.random.uniform(0.0, 0.3)
        while points == 0 or time.monotonic() < end:
            n = task.random.randrange(1, 50)
            script.points("loss", [float(points + index) for index in range(n)])
            store.append(script.batch())
            points += n
        fcntl.ioctl(disk, SHUTDOWN, struct.pack("I", DROP_EVERYTHING))
        store.close()
    finally:
        os.close(disk)
        server.kill()
    return points, blob


def _content(trial: int) -> bytes:
    return f"artifact {trial} ".encode() * 5000
