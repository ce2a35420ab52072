"""`python -m benchmarks.peers [--systems ...] [--workloads ...] [--repeats N] [--quick] [--docs] [--json FILE]`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from benchmarks.peers import environments, page
from benchmarks.peers.plan import Choice, measure
from benchmarks.peers.results import Results
from benchmarks.peers.systems import SYSTEMS
from benchmarks.peers.workloads import WORKLOADS

_ISOLATED = "MLOPS_BENCH_ISOLATED"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="NAME",
                        help=f"of {', '.join(SYSTEMS)}")  # fmt: skip
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME",
                        help=f"of {', '.join(WORKLOADS)}")  # fmt: skip
    parser.add_argument("--repeats", type=int, help="of every workload, instead of its own number")
    parser.add_argument("--quick", action="store_true", help="small numbers: does it work?")
    parser.add_argument("--seed", type=int, default=1, help="of the order of systems")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument(
        "--docs", action="store_true", help="write the results, tables and chart of docs/ and README.md"
    )
    parser.add_argument("--render", type=Path, metavar="FILE", help="measure nothing: --docs from earlier results")
    parser.add_argument("--cache", type=Path, default=environments.cache_directory(), metavar="PATH",
                        help="for environments and stores; default %(default)s")  # fmt: skip
    parser.add_argument("--prepare", action="store_true", help="make the environments, and stop")
    chosen = parser.parse_args(arguments)
    is_whole = not (chosen.quick or set(chosen.systems) != set(SYSTEMS) or set(chosen.workloads) != set(WORKLOADS))
    if chosen.docs and not (is_whole or chosen.render):
        parser.error("--docs takes all systems and workloads, and no --quick")
    return chosen


def main(arguments: list[str]) -> int:
    """Measure and report; the exit status is 1 if an environment could not be made."""
    chosen = parse(arguments)
    if chosen.render:
        page.write_documents(Results.load(chosen.render))
        return 0
    if not os.environ.get(_ISOLATED):
        failed = _prepare(chosen)
        if chosen.prepare or failed:
            return int(failed)
        _isolate(arguments)
    if os.environ.get(_ISOLATED) == "yes":
        environments.raise_loopback()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and children are ended on the way out
    results = measure(
        Choice(
            chosen.systems,
            chosen.workloads,
            chosen.repeats,
            chosen.quick,
            chosen.seed,
            chosen.cache,
            is_isolated=os.environ.get(_ISOLATED) == "yes",
        ),
        lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(page.tables(results))
    results.save(chosen.cache / "last.json")
    if chosen.json:
        results.save(chosen.json)
    if chosen.docs:
        page.write_documents(results)
    return 0


def _prepare(chosen: argparse.Namespace) -> bool:
    """Make the environments; returns whether one failed."""
    failed = False
    for name in chosen.systems:
        try:
            environments.prepare(SYSTEMS[name], chosen.cache, lambda text: print(text, file=sys.stderr, flush=True))
        except environments.EnvironmentFailedError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
    return failed


def _isolate(arguments: list[str]) -> None:
    """Begin again, with a network that ends at loopback; returns where the machine does not allow that."""
    command = environments.isolating_command()
    if command is None:
        print("no network of its own is allowed here: the systems' own opt-outs must do", file=sys.stderr)
        os.environ[_ISOLATED] = "no"
        return
    os.environ[_ISOLATED] = "yes"
    os.execvp(command[0], [*command, sys.executable, "-m", "benchmarks.peers", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
