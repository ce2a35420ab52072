"""Files, directories, the cache, bounded memory."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from blake3 import blake3
from pyarrow import parquet

import mlops_sdk
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.making import fingerprint

FRAME = pd.DataFrame({"id": [1, 2, 3], "x": [0.5, None, 2.5], "s": ["a", 'b,"c', "ü"], "b": [True, False, True]})


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_bytes_and_table_of_a_file(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "x.csv", index=False)
    made = fingerprint(tmp_path / "x.csv")
    assert made.digest == fingerprint(FRAME).digest
    assert made.files == {"x.csv": blake3((tmp_path / "x.csv").read_bytes()).hexdigest()}
    assert made.name == "x.csv"
    with gzip.open(tmp_path / "x.csv.gz", "wt", encoding="utf-8") as file:
        FRAME.to_csv(file, index=False)
    assert fingerprint(tmp_path / "x.csv.gz").digest == made.digest
    FRAME.to_json(tmp_path / "x.jsonl", orient="records", lines=True)
    assert fingerprint(tmp_path / "x.jsonl").digest == made.digest
    FRAME.to_csv(tmp_path / "x.tsv", index=False, sep="\t")
    assert fingerprint(str(tmp_path / "x.tsv"), target="b").target == "b"


def test_a_file_without_a_table_is_its_bytes(tmp_path: Path) -> None:
    one = fingerprint(written(tmp_path / "a.txt", "hello"))
    assert one == fingerprint(written(tmp_path / "b.bin", "hello"))
    assert one != fingerprint(written(tmp_path / "c.txt", "hullo"))


@pytest.mark.parametrize(
    "text, kind, values",
    [
        ("1\n2", "int64", [1, 2]), ("1\n\"\"\n3", "int64", [1, None, 3]), ("1\n2.5", "float64", [1, 2.5]), ("true\nFALSE", "bool", [True, False]),
        ("2020-01-01\n2020-01-02 10:00", "datetime", [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02 10:00")]),
        ("2020-01-01T00:00Z\n2020-01-02T10:00+02:00", "datetime, tz", [pd.Timestamp("2020", tz="UTC"), pd.Timestamp("2020-01-02 08:00", tz="UTC")]),
        ("1\na", "text", ["1", "a"]), ("1_000\n2", "text", ["1_000", "2"]), ("9007199254740993\n1", "int64", [2**53 + 1, 1]),
        ("nan\n1", "float64", [None, 1]), ("2020-13-01\n", "text", ["2020-13-01"]), ("1\ninf", "float64", [1.0, float("inf")]), ("1e400\n1", "text", ["1e400", "1"]), ("9" * 5000 + "\n1", "text", ["9" * 5000, "1"]),
    ],
)  # fmt: skip
def test_the_rule_of_types_in_csv(tmp_path: Path, text: str, kind: str, values: list[object]) -> None:
    made = fingerprint(written(tmp_path / "x.csv", f"a\n{text}\n"))
    assert made.columns["a"].type == kind
    assert made.digest == fingerprint([{"a": value} for value in values]).digest


def test_the_limits_of_the_process_are_put_back(tmp_path: Path) -> None:
    import csv

    limit = csv.field_size_limit()
    fingerprint(written(tmp_path / "x.csv", f"a\n{'x' * 200_000}\n"))
    with pytest.raises(InvalidValueError):
        fingerprint(written(tmp_path / "y.csv", "a\n1,2\n"))
    assert csv.field_size_limit() == limit


def test_types_in_csv_hold_for_the_whole_column(tmp_path: Path) -> None:
    numbers = [str(place) for place in range(20_000)]
    made = fingerprint(written(tmp_path / "x.csv", "a\n" + "\n".join([*numbers, "x"])))
    assert made.digest == fingerprint({"a": [*numbers, "x"]}).digest
    made = fingerprint(written(tmp_path / "y.csv", "a\n" + "\n".join([*numbers, "0.5"])))
    assert made.digest == fingerprint({"a": [*map(int, numbers), 0.5]}).digest


def test_a_directory_is_all_that_is_in_it(tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "deep").mkdir(parents=True)
    written(root / "deep" / "x.csv", "a\n1\n")
    written(root / "notes.txt", "hello")
    (root / "link").symlink_to("notes.txt")
    made = fingerprint(root)
    assert list(made.parts) == ["deep/x.csv"]
    assert made.files["link"] == "link:notes.txt"
    assert set(made.files) == {"deep/x.csv", "notes.txt", "link"}
    written(root / "notes.txt", "hullo")
    written(root / "new.txt", "")
    diff = made.diff(fingerprint(root))
    assert (diff.verdict, diff.files_changed, diff.files_added) == ("changed", ("notes.txt",), ("new.txt",))
    written(root / "deep" / "x.csv", "a\n2\n")
    assert "deep/x.csv: columns changed: a" in str(made.diff(fingerprint(root)))


def test_the_cache_is_of_path_size_time_and_inode(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", "a\n1\n")
    hour_ago = time.time() - 3600
    os.utime(path, (hour_ago, hour_ago))
    made = fingerprint(path)
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "mlops" / "fingerprints"
    (entry,) = cache.iterdir()
    assert cache.stat().st_mode & 0o777 == 0o700
    assert fingerprint(path) == made
    entry.write_text(entry.read_text().replace('"n_rows": 1', '"n_rows": 77'))
    assert fingerprint(path).n_rows == 77, "the entry is what is read"
    assert fingerprint(path, cache=False).n_rows == 1
    entry.write_text("damaged")
    assert fingerprint(path).n_rows == 1
    entry.write_text("[" * 100_000)
    assert fingerprint(path).n_rows == 1
    written(path, "a\n2\n")
    assert fingerprint(path).digest == fingerprint({"a": [2]}).digest
    assert len(list(cache.iterdir())) == 1, "what has just changed is not kept"
    fingerprint(path, salt="x")


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(written(tmp_path / "file", "")))
    path = written(tmp_path / "x.csv", "a\n1\n")
    os.utime(path, (1e9, 1e9))
    assert fingerprint(path).n_rows == 1


def test_a_bar_is_shown_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "[x].csv", "a\n1\n")
    fingerprint(path, cache=False, progress=True)
    assert capsys.readouterr().out == ""


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(pa.table({"a": [1, None]}), tmp_path / "x.parquet")
    expected = fingerprint(tmp_path / "x.parquet", cache=False).digest
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setattr(sys.modules["pyarrow"], "parquet", None)
    monkeypatch.delattr(sys.modules["pyarrow"], "parquet")
    assert fingerprint(tmp_path / "x.parquet", cache=False).digest == expected
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert fingerprint(tmp_path / "x.parquet", cache=False).digest == expected
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(mlops_sdk.MissingDependencyError, match="pyarrow"):
        fingerprint(tmp_path / "x.parquet", cache=False)


def test_fortran_arrays_and_no_rows(tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(4, 3)
    for name, each in (("c", array), ("f", np.asfortranarray(array)), ("e", array[:0]), ("t", array.reshape(2, 2, 3))):
        np.save(tmp_path / f"{name}.npy", each)
        assert fingerprint(tmp_path / f"{name}.npy").digest == fingerprint(each).digest
    parquet.write_table(pa.table({"a": pa.array([], pa.int8())}), tmp_path / "x.parquet")
    assert fingerprint(tmp_path / "x.parquet").columns["a"].kind == "null"
    with pytest.raises(InvalidValueError, match="header"):
        fingerprint(written(tmp_path / "empty.csv", ""))


PROGRAM = """
import resource, sys, threading, time
from mlops_sdk.fingerprint.making import fingerprint
import pyarrow.parquet
import numpy as np
fingerprint(np.zeros((10, 2)))

def anonymous():
    with open("/proc/self/status") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("RssAnon:", "RssShmem:"))) // 1024

before = most = anonymous()
def watch():
    global most
    while True:
        most = max(most, anonymous())
        time.sleep(0.002)
threading.Thread(target=watch, daemon=True).start()
made = fingerprint(sys.argv[1], cache=False)
print(made.n_rows, most - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x.parquet", "x.npy"])
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the process's own memory from /proc")
def test_memory_is_bounded(tmp_path: Path, name: str) -> None:
    """A file of 400 MB; what is added must not follow the size."""
    n = 2_500_000
    if name == "x.npy":
        array = np.lib.format.open_memmap(tmp_path / name, mode="w+", dtype="f8", shape=(n, 20))
        array[:] = np.random.default_rng(0).standard_normal((1000, 20)).repeat(n // 1000, axis=0)
        array.flush()
    else:
        with parquet.ParquetWriter(tmp_path / name, pa.schema([(f"c{i}", pa.float64()) for i in range(20)])) as writer:
            for seed in range(10):
                generator = np.random.default_rng(seed)
                writer.write_table(pa.table({f"c{i}": generator.standard_normal(n // 10) for i in range(20)}))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / name)], capture_output=True, text=True, check=True
    )
    n_rows, added_mib = map(int, done.stdout.split())
    assert n_rows == n
    assert added_mib <= 256
