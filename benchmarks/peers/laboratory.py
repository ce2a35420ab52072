"""Where it is measured: a scratch directory on disk, children per system, servers."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers import children, environments
from benchmarks.peers.results import Results
from benchmarks.peers.systems import System

_SERVER_LIMIT_S = 150.0


@dataclass(frozen=True)
class Site:
    """A store of a system: its directory, a home directory beside it, and perhaps a server."""

    system: System
    root: Path
    url: str | None = None
    server_root: Path | None = None

    @property
    def place(self) -> Path:
        """The directory that is the store's alone."""
        return self.root / "place"

    @property
    def directories(self) -> list[Path]:
        """Everything that a run takes up on disk."""
        return [self.place, *([self.server_root / "store"] if self.server_root else [])]


@dataclass
class Laboratory:
    """Scratch space and settings of one run of the benchmark.

    Attributes
    ----------
    scratch, cache : Path
    results : Results
    is_quick : bool
    limit_s : float
        No child takes longer.
    """

    scratch: Path
    cache: Path
    results: Results
    is_quick: bool = False
    limit_s: float = 180.0
    _servers: dict[str, tuple[str, Path]] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _n: int = 0

    def close(self) -> None:
        """Stop the servers."""
        self._stack.close()

    def site(self, system: System, name: str) -> Site:
        """A fresh store; of a server, what is new is the client's directory."""
        self._n += 1
        root = self.scratch / f"{system.name}-{name}-{self._n}"
        (root / "home").mkdir(parents=True)
        (root / "place").mkdir()
        (root / "notes").mkdir()
        url, server_root = self.server(system) if system.server else (None, None)
        return Site(system, root, url, server_root)

    def request(self, site: Site, probe: str, **more: Any) -> dict[str, Any]:
        """What a child is asked."""
        return {"probe": probe, "adapter": site.system.adapter, "place": str(site.place), "url": site.url, **more}

    def start(self, site: Site, probe: str, **more: Any) -> tuple[children.Child, Path]:
        """Start a child that answers."""
        python = environments.python_of(site.system, self.cache)
        return children.start_probe(
            python, self.request(site, probe, **more), self.environ(site), site.place, site.root / "notes"
        )

    def ask(
        self, site: Site, workload: str, probe: str, *, limit_s: float | None = None, **more: Any
    ) -> dict[str, Any] | None:
        """The figures of a child; None, with the trouble noted, where there are none."""
        child, answer = self.start(site, probe, **more)
        return self.figures(site.system, workload, children.result_of(child, answer, limit_s or self.limit_s))

    def figures(self, system: System, workload: str, result: dict[str, Any]) -> dict[str, Any] | None:
        """The figures of a result, its trouble noted."""
        for kind in ("missing", "failed"):
            if kind in result:
                self.results.trouble(system.name, workload, kind, result[kind])
        found: dict[str, Any] | None = result.get("figures")
        return found

    def environ(self, site: Site) -> dict[str, str]:
        """Variables of a child."""
        environ = environments.environ_of(site.system, site.root / "home", site.place, self.cache)
        if site.server_root is not None:
            environ["XDG_CONFIG_HOME"] = str(site.server_root / "config")  # where the server left a token
        return environ

    # -- servers -----------------------------------------------------------------------------------------------------

    def server(self, system: System) -> tuple[str, Path]:
        """The server that all measurements of a system share, started when it is first needed."""
        if system.name not in self._servers:
            self._servers[system.name] = self._stack.enter_context(self.serving(system, "server"))
        return self._servers[system.name]

    @contextlib.contextmanager
    def serving(self, system: System, name: str, store: Path | None = None) -> Iterator[tuple[str, Path]]:
        """Run a server on a free port of loopback; yields its address and its directory.

        Raises
        ------
        environments.EnvironmentFailedError
            If it does not come up.
        """
        root = self.scratch / f"{system.name}-{name}"
        store = store or root / "store"
        for directory in (root / "home", store):
            directory.mkdir(parents=True, exist_ok=True)
        port = _free_port()
        environ = environments.environ_of(system, root / "home", store, self.cache)
        environ["XDG_CONFIG_HOME"] = str(root / "config")
        child = children.start(self._server_command(system, store, port), environ, store, root / "log")
        try:
            _await(f"http://127.0.0.1:{port}", child)
            yield f"http://127.0.0.1:{port}", root
        finally:
            child.process.terminate()
            child.wait(10)
            child.end()

    def _server_command(self, system: System, store: Path, port: int) -> list[str | Path]:
        if system.server == "mlops":
            return [Path(sys.executable).with_name("mlops"), "server", "--store", store, "--port", str(port)]
        python = environments.python_of(system, self.cache)
        uri = f"sqlite:///{store}/mlflow.db"
        return [
            python,
            "-m",
            "mlflow",
            "server",
            "--backend-store-uri",
            uri,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]


def _free_port() -> int:
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return int(any_socket.getsockname()[1])


def _await(url: str, child: children.Child) -> None:
    deadline = time.monotonic() + _SERVER_LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
            return
        if child.process.poll() is not None:
            break
        time.sleep(0.1)
    raise environments.EnvironmentFailedError(f"the server did not come up: {child.last_words()}")
