"""`python -m benchmarks [NAME ...] [--quick | --hard] [--gigabytes N] [--json FILE] [--docs]`: ours and the yardsticks."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import estimators, fingerprints, hard, queries, remote, report, workloads
from benchmarks.workloads import Row


def _workloads(quick: bool, gigabytes: float) -> dict[str, Callable[[], list[Row]]]:
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
        "compare": workloads.compare_two,
        "fingerprint": lambda: list(fingerprints.fingerprint(200_000 if quick else 1_000_000)),
        "fingerprint-memory": lambda: list(fingerprints.memory(gigabytes)),
        "memory": lambda: workloads.memory(1_000_000 if quick else 10_000_000),
        "queries": lambda: queries.queries(10_000, 15) + ([] if quick else queries.queries(100_000, 200)),
        "frames": queries.frames,
        "history": queries.history,
        "shell": queries.shell,
        "remote": lambda: remote.remote(quick=quick),
        "search": lambda: estimators.grid_search(2 if quick else 5),
        "fit": estimators.small_fit,
    }


def main(arguments: list[str]) -> int:
    """Run the workloads named, all by default; the exit status is 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="workloads; default all")
    parser.add_argument("--quick", action="store_true", help="smaller numbers, for a first look")
    parser.add_argument("--hard", action="store_true", help="the harder settings instead: how the cost grows (minutes)")
    parser.add_argument(
        "--gigabytes", type=float, default=0.4, metavar="N", help="size of the files of fingerprint-memory; default 0.4"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument(
        "--docs", action="store_true", help="write docs/benchmarks.md and the README's table (all names)"
    )
    chosen = parser.parse_args(arguments)
    if chosen.docs and (chosen.names or chosen.quick or chosen.hard):
        parser.error("--docs takes the whole benchmark: neither names, --quick nor --hard")
    known = (
        {name: hard.bounded(name) for name in hard.WORKLOADS}
        if chosen.hard
        else _workloads(chosen.quick, chosen.gigabytes)
    )
    unknown = set(chosen.names) - set(known)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    rows: list[Row] = []
    print(f"# {report.machine()}\n{report.HEAD}", flush=True)
    for name in chosen.names or known:
        began = time.perf_counter()
        for row in known[name]():
            rows.append(row)
            print(report.line(row), flush=True)
        print(f"  {name}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n", encoding="utf-8")
    if chosen.docs:
        report.write_documents(rows)
    return int(any(row.ok is False for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
