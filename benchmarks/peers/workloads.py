"""The workloads, as this process sees them: which children are asked what, and what is noted of their answers."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import children, environments, killing
from benchmarks.peers.laboratory import Laboratory, Site
from benchmarks.peers.results import size_bytes
from benchmarks.peers.systems import SYSTEMS, System

N_PROCESSES = 8


@dataclass(frozen=True)
class Workload:
    """A kind of measurement.

    Attributes
    ----------
    run : callable
        Does one repeat for one system and notes what came out.
    repeats : int
        With the default settings.
    seconds : float
        About how long a repeat takes; a guess, until it was done once.
    shared : tuple of str
        Metrics that are the same with a server: not measured again.
    """

    name: str
    what: str
    run: Callable[[Laboratory, System], None]
    repeats: int
    seconds: float
    shared: tuple[str, ...] = ()


# -- imports ---------------------------------------------------------------------------------------------------------


def imports(lab: Laboratory, system: System) -> None:
    """Whole processes: the import above a bare interpreter of the same environment, in turn; byte code is there."""
    site = lab.site(system, "import")
    if not lab.results.values(system.name, "import_ms"):
        _process_ms(lab, site, system.statement)
    try:
        bare = _process_ms(lab, site, "pass")
        lab.results.add(system.name, "import_ms", max(0.0, _process_ms(lab, site, system.statement) - bare))
    except (subprocess.SubprocessError, OSError) as error:
        lab.results.trouble(system.name, "import", "failed", str(error)[:300])


def _process_ms(lab: Laboratory, site: Site, code: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        [environments.python_of(site.system, lab.cache), "-c", code],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=lab.environ(site),
        cwd=site.place,
        timeout=lab.limit_s,
    )
    return 1000 * (time.perf_counter() - began)


# -- start, calls, finish --------------------------------------------------------------------------------------------


def start(lab: Laboratory, system: System) -> None:
    """A short run on a fresh store, then one in another process on that store."""
    site = lab.site(system, "start")
    for name, metric in (("first", "start_fresh_ms"), ("second", "start_ms")):
        figures = lab.ask(site, "start", "session", name=name, points=100)
        if figures is None:
            return
        lab.results.add(system.name, metric, figures["start_ms"])
        if name == "second":
            lab.results.add(system.name, "finish_ms", figures["finish_ms"])


def calls(lab: Laboratory, system: System) -> None:
    """One metric, ten metrics, a tight loop with its finish; resident memory with a run open."""
    seconds = 0.3 if lab.is_quick else 1.0
    figures = lab.ask(lab.site(system, "calls"), "calls", "calls", name="calls", seconds=seconds, most=500_000)
    for metric, value in (figures or {}).items():
        lab.results.add(system.name, metric, value)


# -- histories -------------------------------------------------------------------------------------------------------


def history(lab: Laboratory, system: System) -> None:
    """One long metric: bytes on disk above those of a short run, memory that it took, reading it back elsewhere."""
    points = 2_000 if lab.is_quick else 50_000
    site = lab.site(system, "history")
    # The first run pays for schema, settings and the like.
    if lab.ask(site, "history", "fill", name="short", points=1) is None:
        return
    before = size_bytes(site.directories)
    figures = lab.ask(site, "history", "fill", name="long", points=points)
    if figures is None:
        return
    if site.url:
        _settle(site)
    results = lab.results
    results.add(system.name, "bytes_point", (size_bytes(site.directories) - before) / points)
    results.add(system.name, "grown_mib", figures["grown_mib"])
    results.add(system.name, "fill_s", figures["fill_s"])
    read = lab.ask(site, "read", "read", ref=figures["ref"], points=points, times=3)
    if read is not None:
        results.add(system.name, "read_ms", *read["read_ms"])
        results.add(system.name, "fidelity", read["fidelity"])
        results.add(system.name, "n_history", points)


def _settle(site: Site, limit_s: float = 10.0) -> None:
    """Until a server has written what it was sent."""
    last = -1
    deadline = time.monotonic() + limit_s
    while (size := size_bytes(site.directories)) != last and time.monotonic() < deadline:
        last = size
        time.sleep(0.3)


def table(lab: Laboratory, system: System) -> None:
    """All of a thousand runs with params and metrics. Stores of peers are made once, and kept beside the environments."""
    runs = 50 if lab.is_quick else 1000
    site = lab.site(system, "table")
    built = lab.cache / "stores" / f"{system.package or system.name}-{environments.edition(system, lab.cache)}-{runs}"
    if not (built / "built").exists() and not _build(lab, system, built, runs):
        return
    if not system.server:
        site.place.rmdir()
        site.place.symlink_to(built)  # some have 60,000 files
        _ask_table(lab, site, runs)
        return
    store = site.root / "store"  # a server has a copy: it may upgrade it, or go on with it
    shutil.copytree(built, store, symlinks=True)
    with lab.serving(system, f"table-{site.root.name}", store) as (url, root):
        _ask_table(lab, Site(system, site.root, url, root), runs)


def _build(lab: Laboratory, system: System, built: Path, runs: int) -> bool:
    """Make the store, of a server by the same system without it, which is quicker; returns whether that was possible."""
    maker = SYSTEMS[system.base] if system.base else system
    site = lab.site(maker, "build")
    child, answer = lab.start(site, "build", runs=runs)
    if lab.figures(system, "table", children.result_of(child, answer, 600)) is None:
        return False
    shutil.rmtree(built, ignore_errors=True)
    built.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(site.place, built)
    (built / "built").touch()
    return True


def _ask_table(lab: Laboratory, site: Site, runs: int) -> None:
    figures = lab.ask(site, "table", "table", runs=runs, times=3)
    if figures is not None:
        lab.results.add(site.system.name, "table_ms", *figures["table_ms"])
        lab.results.add(site.system.name, "n_table", runs)


# -- processes, data, death ------------------------------------------------------------------------------------------


def processes(lab: Laboratory, system: System) -> None:
    """Eight processes at once on a store that is not there yet; what is readable afterwards."""
    points = 50 if lab.is_quick else 200
    site = lab.site(system, "processes")
    began = time.perf_counter()
    started = [lab.start(site, "writer", name=f"writer{number}", points=points) for number in range(N_PROCESSES)]
    answers = [children.result_of(child, answer, lab.limit_s) for child, answer in started]
    seconds = time.perf_counter() - began
    figures = [lab.figures(system, "processes", answer) for answer in answers]
    refs = [each["ref"] for each in figures if each is not None]
    logged = [points] * len(refs)
    left = lab.ask(site, "processes", "survivors", refs=refs, acknowledged=logged) if refs else {"kept": []}
    if left is None:
        return
    found = sum(each.get("n", 0) for each in left["kept"])
    lab.results.add(
        system.name,
        "processes",
        {
            "seconds": seconds,
            "errors": N_PROCESSES - len(refs),
            "lost": N_PROCESSES * points - found,
            "logged": N_PROCESSES * points,
        },
    )


def dataset(lab: Laboratory, system: System) -> None:
    """The digest of an array of 20 columns, and whether it notices a change."""
    rows = 50_000 if lab.is_quick else 1_000_000
    figures = lab.ask(lab.site(system, "dataset"), "dataset", "dataset", rows=rows, times=3)
    if figures is None:
        return
    for metric in ("digest_ms", "memcpy_ms", "sha256_ms"):
        lab.results.add(system.name, metric, *figures[metric])
    lab.results.add(system.name, "sees_a_change", figures["sees_a_change"])
    lab.results.add(system.name, "dataset_mb", figures["mb"])


WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("import", "import, whole processes", imports, 3, 2.0, ("import_ms",)),
        Workload("start", "start and finish of a short run", start, 3, 3.0),
        Workload("calls", "one metric, ten metrics, a tight loop", calls, 3, 4.0),
        Workload("history", "a long metric: bytes, memory, reading back", history, 1, 12.0),
        Workload("table", "a table of a thousand runs", table, 1, 4.0),
        Workload("processes", "eight processes on a fresh store", processes, 1, 8.0),
        Workload("dataset", "digest of a data set", dataset, 1, 2.0, ("digest_ms", "sees_a_change")),
        Workload("kill", "SIGKILL at random instants", killing.kill, 1, 12.0),
    )
}


def scratch_directory(cache: Path) -> Path:
    """A fresh directory on the disk of the cache: not in a checkout, whose state some trackers would capture."""
    import tempfile

    cache.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="scratch-", dir=cache))
