"""Fingerprints: throughput beside the peers', memory, `log_dataset`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.workloads import Row, _run, scratch

GB = 1e9
_MEMORY = """
import sys, threading, time
import numpy as np
import pyarrow.parquet
from mlops_sdk.fingerprint.making import fingerprint
fingerprint(np.zeros((10, 2)))
def own():
    with open("/proc/self/status") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("RssAnon:", "RssShmem:"))) / 1024
before = most = own()
def watch():
    global most
    while True:
        most = max(most, own())
        time.sleep(0.005)
threading.Thread(target=watch, daemon=True).start()
fingerprint(sys.argv[1], cache=False)
print(most - before)
"""


def best(call: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of some runs: the machine is shared, and noise only adds."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return min(taken)


def fingerprint(n: int = 1_000_000) -> Iterator[Row]:
    """All figures; `n` rows of 20 float64."""
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame(np.asfortranarray(np.random.default_rng(0).standard_normal((n, 20))))
    yield from _throughput(frame)
    yield from _peers(frame)
    yield from _texts(n)
    yield from _logging()


def _rate(what: str, data: Any, least: float, **options: Any) -> Row:
    import mlops_sdk

    n_bytes = data.shape[0] * data.shape[1] * 8
    rate = n_bytes / GB / best(lambda: mlops_sdk.fingerprint(data, **options))
    return Row(f"fingerprint, {what}", f"{rate:.2f} GB/s", f">= {least} GB/s", rate >= least)


def _throughput(frame: Any) -> Iterator[Row]:
    import numpy as np

    yield _rate("ordered and column digests", frame, 3.0, rows=False, profile=False)
    yield _rate("and row hashes, content digest", frame, 1.8, sketches=False, profile=False)
    yield _rate("and lookup table, bottom-k", frame, 1.0, profile=False)
    yield _rate("and profile (the default)", frame, 0.25)
    yield _rate(
        "C-ordered array, ordered and content digests", np.ascontiguousarray(frame), 0.8, sketches=False, profile=False
    )


def _peers(frame: Any) -> Iterator[Row]:
    """Against what others call the identity of a frame: one digest (joblib), or row hashes (pandas); ours is both."""
    import joblib
    import pandas as pd

    import mlops_sdk

    ours = best(lambda: mlops_sdk.fingerprint(frame, sketches=False, profile=False), 3)
    whole = best(lambda: mlops_sdk.fingerprint(frame), 3)
    peers: dict[str, Callable[[], object]] = {
        "joblib.hash": lambda: joblib.hash(frame),
        "pandas.util.hash_pandas_object": lambda: pd.util.hash_pandas_object(frame),
    }
    try:
        from mlflow.data.digest_utils import compute_pandas_digest
    except ImportError:
        yield Row("mlflow's digest (10,000 rows) / fingerprint", "not installed", "> 1 x", None)
    else:
        peers["mlflow's digest (10,000 rows)"] = lambda: compute_pandas_digest(frame)
    for name, call in peers.items():
        theirs = best(call, 3)
        figure = f"{theirs / ours:.1f} x (with sketches and profile {theirs / whole:.1f} x)"
        yield Row(f"{name} / digests and row hashes", figure, "> 1 x", theirs > ours)


def _texts(n: int) -> Iterator[Row]:
    import pandas as pd

    import mlops_sdk

    texts = [f"row-{place * 7919 % 1_000_003}-x" for place in range(n)]
    frame = pd.DataFrame({"s": pd.Series(texts, dtype=object)})
    taken = best(lambda: mlops_sdk.fingerprint(frame), 3)
    yield Row(f"{n:,} distinct texts, pandas objects", f"{taken:.2f} s", "<= 0.6 s", taken <= 0.6)
    try:
        import pyarrow
    except ImportError:
        return
    table = pyarrow.table({"s": texts})
    taken = best(lambda: mlops_sdk.fingerprint(table), 3)
    yield Row(f"{n:,} distinct texts, Arrow", f"{taken:.2f} s", "<= 0.25 s", taken <= 0.25)


def _logging() -> Iterator[Row]:
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame(np.random.default_rng(1).standard_normal((62_500, 20)))
    with scratch() as path, _run(path) as run:
        run.log_dataset(frame[:10])
        taken = best(lambda: run.log_dataset(frame, name="x", context="train")) * 1000
    yield Row("log_dataset of a 10 MB frame", f"{taken:.0f} ms", "<= 40 ms", taken <= 40)


def memory(gigabytes: float) -> Iterator[Row]:
    """Memory added by files of so many 10^9 bytes of float64 in 20 columns, each read in a process of its own."""
    n = round(gigabytes * GB / 160)
    files = {
        "npy (rows first)": _write_rows, "npy (columns first)": _write_columns, "Parquet (row groups of 1,048,576)": _write_parquet,
    }  # fmt: skip
    with scratch() as path:
        for what, write in files.items():
            file = path / ("x.parquet" if write is _write_parquet else "x.npy")
            try:
                write(file, n)
            except ImportError as error:
                yield Row(f"memory added by {what}", f"not measured: {error}", "<= 256 MiB", None)
                continue
            size = file.stat().st_size
            command = [sys.executable, "-c", _MEMORY, str(file)]
            added = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            yield Row(f"memory added by {size / GB:.2f} GB of {what}", f"{added:.0f} MiB", "<= 256 MiB", added <= 256)
            file.unlink()


def _parts(n: int) -> Iterator[tuple[int, Any]]:
    """Rows in row groups of pyarrow's default size, and the number of the first."""
    import numpy as np

    step = 1 << 20
    for start in range(0, n, step):
        yield start, np.random.default_rng(start).standard_normal((min(step, n - start), 20))


def _write_rows(file: Path, n: int, *, by_column: bool = False) -> None:
    import numpy as np

    array = np.lib.format.open_memmap(file, mode="w+", dtype="f8", shape=(n, 20), fortran_order=by_column)
    for start, part in _parts(n):
        array[start : start + len(part)] = part
    array.flush()


def _write_columns(file: Path, n: int) -> None:
    _write_rows(file, n, by_column=True)


def _write_parquet(file: Path, n: int) -> None:
    import pyarrow
    from pyarrow import parquet

    names = [f"c{place}" for place in range(20)]
    schema = pyarrow.schema([(name, pyarrow.float64()) for name in names])
    with parquet.ParquetWriter(file, schema) as writer:
        for _, part in _parts(n):
            writer.write_table(pyarrow.table({name: part[:, place] for place, name in enumerate(names)}))
