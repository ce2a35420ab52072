"""The systems: what is installed, how it is imported, what it is told so that nothing leaves the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_ADAPTERS = "benchmarks.peers.adapters."


@dataclass(frozen=True)
class System:
    """A system under measurement.

    Attributes
    ----------
    name, label : str
        On the command line, and in tables.
    adapter : str
        ``module:class``.
    statement : str
        What a script imports, timed as whole processes.
    package : str
        Whose version is shown; empty for one without.
    requires : tuple of str
        Installed into its environment; with none it runs in ours. Exact versions: the adapters read some of them from
        inside, and a figure belongs to a version.
    server : str
        Kind of the server that it needs: ``mlflow``, ``mlops`` or none.
    environ : mapping
        Variables; ``{place}`` stands for the directory of the store.
    base : str
        The same system without its server: what a server does not change is measured once.
    note : str
        A sentence for the page.
    """

    name: str
    label: str
    adapter: str
    statement: str
    package: str = ""
    requires: tuple[str, ...] = ()
    server: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    note: str = ""
    is_ours: bool = False


_MLFLOW = ("mlflow==3.17.2",)
_MLFLOW_ENVIRON = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}

_ALL = [
    System(
        "lines",
        "a text line (floor)",
        _ADAPTERS + "lines:Lines",
        "pass",
        note="no tracker: a line of text per point in a line-buffered file; what anybody could write in five lines",
    ),
    System("ours", "mlops_sdk", _ADAPTERS + "ours:Local", "import mlops_sdk", "mlops_sdk", is_ours=True),
    System(
        "ours-http",
        "mlops_sdk, server",
        _ADAPTERS + "ours:Http",
        "import mlops_sdk",
        "mlops_sdk",
        server="mlops",
        base="ours",
        note="with `mlops server` on loopback; every run is in the local store as well, and both are counted in bytes a "
        "point; after a kill, points are read at the server after `mlops sync`",
        is_ours=True,
    ),
    System(
        "mlflow",
        "MLflow, SQLite",
        _ADAPTERS + "mlflow:Sqlite",
        "import mlflow",
        "mlflow",
        _MLFLOW,
        environ=_MLFLOW_ENVIRON,
        note="its default store; histories are written by `log_batch` for bytes a point and reading; a "
        "fresh database is made by the first run, without `mlflow db upgrade` before",
    ),
    System(
        "mlflow-server",
        "MLflow, server",
        _ADAPTERS + "mlflow:Server",
        "import mlflow",
        "mlflow",
        _MLFLOW,
        server="mlflow",
        base="mlflow",
        environ=_MLFLOW_ENVIRON,
        note="`mlflow server` with its defaults on loopback, over SQLite",
    ),
    System(
        "wandb",
        "W&B, offline",
        _ADAPTERS + "wandb:Wandb",
        "import wandb",
        "wandb",
        ("wandb==0.31.0", "numpy"),
        environ={
            "WANDB_MODE": "offline",
            "WANDB_SILENT": "true",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DISABLE_GIT": "true",
        },
        note="no reader of local runs is part of it: its file is read record by record; after a kill its helper process "
        "has ten seconds to end by itself",
    ),
    System(
        "aim",
        "Aim",
        _ADAPTERS + "aim:Aim",
        "from aim import Run",
        "aim",
        ("aim==3.29.1",),
        environ={"AIM_UI_TELEMETRY_ENABLED": "0", "AIM_ANALYTICS": "0"},
        note="runs are read after `aim storage reindex`, without which its own readers do not find them; "
        "a fresh repository is made by the first run, without `aim init` before",
    ),
    System(
        "trackio",
        "Trackio",
        _ADAPTERS + "trackio:Trackio",
        "import trackio",
        "trackio",
        ("trackio==0.43.0",),
        environ={"TRACKIO_DIR": "{place}", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
    ),
    System(
        "tensorboardX",
        "tensorboardX",
        _ADAPTERS + "tensorboardx:TensorboardX",
        "import tensorboardX",
        "tensorboardX",
        ("tensorboardX==2.6.5", "tensorboard==2.21.0"),
        note="read by TensorBoard; keeps values as float32",
    ),
    System(
        "dvclive",
        "DVCLive",
        _ADAPTERS + "dvclive:Dvclive",
        "from dvclive import Live",
        "dvclive",
        ("dvclive==3.49.1",),
        environ={"DVC_NO_ANALYTICS": "1", "DVCLIVE_LOGLEVEL": "ERROR", "DVC_STUDIO_OFFLINE": "true"},
        note="`live.step = n; live.log_metric(...)`, without the milliseconds of `next_step()`",
    ),
    System(
        "exptrack",
        "exptrack",
        _ADAPTERS + "exptrack:Exptrack",
        "from exptrack import Experiment",
        "exptrack",
        ("exptrack==2.1.0",),
        note="its defaults: metrics are committed every 250 ms",
    ),
    System(
        "goodseed",
        "GoodSeed, local",
        _ADAPTERS + "goodseed:Goodseed",
        "import goodseed",
        "goodseed",
        ("goodseed==0.4.0",),
        environ={"GOODSEED_STORAGE": "local", "GOODSEED_HOME": "{place}"},
    ),
]
SYSTEMS: dict[str, System] = {system.name: system for system in _ALL}
