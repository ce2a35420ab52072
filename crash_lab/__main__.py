"""`python -m crash_lab [NAME ...] [--short] [--seed N] [--trials N] [--directory PATH]`."""

from __future__ import annotations

import os

# Before numpy is loaded: threads of its own would be there at every fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from crash_lab.harnesses import HARNESSES
from crash_lab.report import Findings, Harness, SkipError, Task, line, skipped_line

SHOWN_VIOLATIONS = 20


def main(arguments: list[str]) -> int:
    """Run the harnesses named, all by default; the exit status is 1 when a guarantee was violated."""
    parser = argparse.ArgumentParser(prog="crash_lab", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(HARNESSES)}; default all")
    parser.add_argument("--short", action="store_true", help="few trials: seconds instead of hours")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trials", type=int, help="instead of the number of either form")
    parser.add_argument("--directory", type=Path, help="on the file system to test; default the temporary directory's")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.names) - set(HARNESSES)
    if unknown:
        parser.error(f"no harness {', '.join(sorted(unknown))}; there are {', '.join(HARNESSES)}")
    results = [
        _run(harness, chosen.trials or (harness.short if chosen.short else harness.long), chosen.seed, chosen.directory)
        for name, harness in HARNESSES.items()
        if not chosen.names or name in chosen.names
    ]
    return int(any(results))


def _run(harness: Harness, trials: int, seed: int, directory: Path | None) -> bool:
    """Run one and print its line; returns whether a guarantee was violated."""
    root = Path(tempfile.mkdtemp(prefix="crash-lab-", dir=directory))
    began = time.monotonic()
    try:
        found = harness.run(Task(trials, random.Random(f"{seed} {harness.name}"), root))
    except SkipError as reason:
        print(skipped_line(harness, reason, seed=seed), flush=True)
        return False
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(line(harness, found, seed=seed, seconds=time.monotonic() - began), flush=True)
    _show(found)
    return bool(found.violations)


def _show(found: Findings) -> None:
    for violation in found.violations[:SHOWN_VIOLATIONS]:
        print(f"    {violation}", file=sys.stderr)
    if len(found.violations) > SHOWN_VIOLATIONS:
        print(f"    and {len(found.violations) - SHOWN_VIOLATIONS} more", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
