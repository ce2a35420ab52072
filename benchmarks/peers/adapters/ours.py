"""mlops_sdk, as its guides show it: `start_run`, capture and system metrics on."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.adapters.base import Adapter


class Local(Adapter):
    _sdk: Any
    _run: Any

    @property
    def _uri(self) -> str:
        return self.place

    def load(self) -> None:
        import mlops_sdk

        self._sdk = mlops_sdk

    def start(self, name: str) -> str:
        self._run = self._sdk.start_run(tracking_uri=self._uri, experiment="bench", name=name)
        return str(self._run.run_id)

    def log(self, key: str, value: float, step: int) -> None:
        self._run.log_metric(key, value, step=step)

    def log_many(self, values: dict[str, float], step: int) -> None:
        self._run.log_metrics(values, step=step)

    def params(self, values: dict[str, float]) -> None:
        self._run.log_params(values)

    def build(self, n_runs: int) -> None:
        for number in range(n_runs):  # what is captured takes most of the time, and is not in the table
            self._run = self._sdk.start_run(
                tracking_uri=self._uri,
                experiment="bench",
                name=f"run{number}",
                params={f"p{each}": number / (each + 1) for each in range(5)},
                capture=False,
                system_metrics=False,
            )
            self._run.log_metrics({f"m{each}": number / n_runs for each in range(5)}, step=0)
            self._run.finish()

    def finish(self) -> None:
        self._run.finish()

    def read(self, ref: str, key: str) -> list[float]:
        series = self._sdk.get_run(ref, tracking_uri=self._uri).metric(key)
        return series.value.tolist()  # type: ignore[no-any-return]

    def table(self) -> int:
        runs = self._sdk.search_runs("metrics.m0 >= 0", experiment="bench", tracking_uri=self._uri)
        return len(runs.to_pandas())

    def digest(self, data: object) -> str:
        return str(self._sdk.fingerprint(data).digest)


class Http(Local):
    """Over HTTP: the run is in the local store too, and the server gets it in the background."""

    @property
    def _uri(self) -> str:
        assert self.url is not None
        return self.url

    def recover(self) -> None:
        # Points of a process that died wait in its journal. The next run on the machine delivers them, or this.
        self.command("mlops", "sync")
