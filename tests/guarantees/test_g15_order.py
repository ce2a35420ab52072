"""G15: no accepted record is dropped, moved or overwritten because of its step, time or order, whoever writes or dies."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest

import mlops_sdk
from tests.guarantees import processes

KEYS = ("loss", "val/loss", "acc")
_WRITER = """
import os, random, signal, sys, mlops_sdk
uri, role, seed, n, end = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
quiet = {} if role == "attached" else {"capture": False, "system_metrics": False, "resume": "allow", "run_id": "r"}
run = mlops_sdk.attach_run("r", tracking_uri=uri) if role == "attached" else mlops_sdk.start_run(tracking_uri=uri, **quiet)
rng = random.Random(seed)
for number in range(n):
    key, step = rng.choice(("loss", "val/loss", "acc")), rng.choice((0, 1, 1, 5, -3, 2**62, None))
    time = rng.choice((None, None, 0.0, 1e9, 4e9))
    if time is None:
        run.log_metric(key, seed * 1e6 + number, step=step)
    else:
        run.log_metrics({key: seed * 1e6 + number}, step=step, timestamp=time)
    os.write(1, b".")  # accepted
    if rng.random() < 0.01:
        run.flush()
if end == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if end == "exit":
    os._exit(0)
run.finish()
"""


def _start(store: Path, role: str, seed: int, rng: random.Random) -> subprocess.Popen[str]:
    return processes.start(_WRITER, store, role, seed, rng.randrange(1, 400), rng.choice(("finish", "kill", "exit")))


def _accepted(child: subprocess.Popen[str], rng: random.Random) -> int:
    """Records that a writer was told are safe; some writers are killed from outside."""
    assert child.stdout is not None
    n = 0
    if rng.random() < 0.4:
        n = len(child.stdout.read(rng.randrange(1, 50)))
        child.kill()
    n += len(child.stdout.read())
    _, err = child.communicate(timeout=60)
    assert "Traceback" not in err, err
    return n


def _logged(seed: int) -> list[tuple[str, int | None]]:
    """Key and step of the first records of a writer, as `_WRITER` draws them."""
    rng, logged = random.Random(seed), []
    for _ in range(400):
        logged.append((rng.choice(KEYS), rng.choice((0, 1, 1, 5, -3, 2**62, None))))
        rng.choice((None, None, 0.0, 1e9, 4e9))
        rng.random()
    return logged


def _check(store: Path, accepted: dict[int, int]) -> int:
    view = mlops_sdk.get_run("r", tracking_uri=store)
    series = {key: view.metric(key, rank="all") for key in KEYS if key in view.metrics}
    found = Counter(int(value) for each in series.values() for value in each.value)
    assert max(found.values()) == 1, "a record is there twice"
    places = {int(v): (key, int(s)) for key, each in series.items() for s, v in zip(each.step, each.value, strict=True)}
    for seed, least in accepted.items():
        for number, (key, step) in enumerate(_logged(seed)):
            there = places.get(seed * 1_000_000 + number, (key, step))
            assert there == (key, there[1] if step is None else step)
        numbers = sorted(value % 1_000_000 for value in found if value // 1_000_000 == seed)
        assert numbers == list(range(len(numbers))), "an unbroken prefix of what was logged"
        assert len(numbers) >= least
    return len(found)


@pytest.mark.slow
def test_what_several_writers_log_in_any_order_is_all_there(tmp_path: Path) -> None:
    rng = random.Random(15)
    n_records = n_writers = 0
    for program in range(6):
        store, accepted = tmp_path / str(program), {}
        for seed in range(1, 4):  # one after the other: new, resumed, attached to
            role = "owner" if seed == 1 else rng.choice(("owner", "attached"))
            accepted[seed] = _accepted(_start(store, role, seed, rng), rng)
        together = {seed: _start(store, rng.choice(("owner", "attached")), seed, rng) for seed in range(4, 7)}
        accepted |= {seed: _accepted(child, rng) for seed, child in together.items()}
        n_records += _check(store, accepted)
        n_writers += len(accepted)
    print(f"G15: {n_writers} writers of 6 runs, {n_records} records in any order, 0 lost, moved or doubled")
