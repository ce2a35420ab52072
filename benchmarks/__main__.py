"""`python -m benchmarks [NAME ...] [--quick] [--json FILE]`: our figures and the yardsticks, one table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mlops_sdk
from benchmarks import fingerprints, workloads
from benchmarks.workloads import Row


def _workloads(quick: bool) -> dict[str, Callable[[], list[Row]]]:
    n = 50_000 if quick else 200_000
    return {
        "imports": workloads.imports,
        "start": workloads.start_and_finish,
        "call": lambda: workloads.one_call(n),
        "append": lambda: workloads.one_call(n, "append"),
        "tail": lambda: workloads.tail(200_000 if quick else 1_000_000),
        "million": workloads.million,
        "processes": workloads.processes,
        "paced": lambda: workloads.paced(5 if quick else 60),
        "share": lambda: workloads.share(5 if quick else 20),
        "fingerprint": lambda: list(fingerprints.fingerprint(200_000 if quick else 1_000_000)),
        "memory": lambda: workloads.memory(1_000_000 if quick else 10_000_000),
    }


def main(arguments: list[str]) -> int:
    """Run the workloads named, all by default; the exit status is 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="workloads; default all")
    parser.add_argument("--quick", action="store_true", help="smaller numbers, for a first look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    chosen = parser.parse_args(arguments)
    known = _workloads(chosen.quick)
    unknown = set(chosen.names) - set(known)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    rows: list[Row] = []
    print(f"# {_machine()}", flush=True)
    print("| what | measured | target | |\n|---|---|---|---|")
    for name in chosen.names or known:
        began = time.perf_counter()
        for row in known[name]():
            rows.append(row)
            print(f"| {row.what} | {row.figure} | {row.target} | {_mark(row)} |", flush=True)
        print(f"  {name}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n", encoding="utf-8")
    return int(any(row.ok is False for row in rows))


def _mark(row: Row) -> str:
    return "" if row.ok is None else "ok" if row.ok else "MISSED"


def _machine() -> str:
    return (
        f"mlops_sdk {mlops_sdk.__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
