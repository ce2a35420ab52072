"""Every public call of a run that promises never to raise, each with arguments that are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_sdk import Run

QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}
MAY_RAISE = {
    "artifact", "artifact_path", "child", "compare", "cv_results", "definition", "download", "finish", "fit", "flush",
    "health", "load_model", "map", "metric", "plot", "refresh", "sklearn", "summary",
}  # fmt: skip
"""What starts, reads, waits or ends: its errors belong to the caller."""


class Model:
    """Something to pickle."""

    def predict(self, rows: Any) -> Any:
        return rows


def a_file(place: Path) -> Path:
    path = place / "report.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a report\n", encoding="utf-8")
    return path


def a_tree(place: Path) -> Path:
    for name in ("one.txt", "deep/two.txt"):
        path = place / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return place / "tree"


def _figure() -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(1, 1))


def _image() -> Any:
    import numpy as np

    return np.zeros((4, 4, 3), np.uint8)


CALLS: dict[str, Callable[[Run, Path], object]] = {
    "log_metric": lambda run, _: run.log_metric("loss", 0.5, step=1),
    "log_metric of a new key": lambda run, _: run.log_metric("other", 2, timestamp=1e9),
    "log_metrics": lambda run, _: run.log_metrics({"acc": 0.5, "val": {"f1": 1}}),
    "log": lambda run, _: run.log({"loss": 0.25, "note": "text", "table": {"a": 1}}, step=2),
    "log_param": lambda run, _: run.log_param("lr", 0.1),
    "log_params": lambda run, _: run.log_params({"model": {"depth": 3}, "units": [1, 2]}),
    "log_param that conflicts": lambda run, _: run.log_param("lr", 0.1, overwrite=True),
    "define_metric": lambda run, _: run.define_metric("loss", mode="min", unit="nats"),
    "set_tag": lambda run, _: run.set_tag("team", "growth"),
    "set_tags": lambda run, _: run.set_tags({"a": 1, "b": None}),
    "delete_tag": lambda run, _: run.delete_tag("a"),
    "set_description": lambda run, _: run.set_description("what it is about"),
    "rename": lambda run, _: run.rename("another name"),
    "move": lambda run, _: run.move("another experiment"),
    "log_artifact": lambda run, place: run.log_artifact(a_file(place)),
    "log_artifact below a directory": lambda run, place: run.log_artifact(a_file(place), "reports", step=1),
    "log_artifacts": lambda run, place: run.log_artifacts(a_tree(place), "tree"),
    "log_text": lambda run, _: run.log_text("some text", "text.txt"),
    "log_dict": lambda run, _: run.log_dict({"a": [1, 2]}, "dict.json"),
    "log_figure": lambda run, _: run.log_figure(_figure(), "figure.svg"),
    "log_image": lambda run, _: run.log_image(_image(), "image.png"),
    "log_dataset": lambda run, _: run.log_dataset([{"a": 1}, {"a": 2}], name="d", context="train"),
    "log_input": lambda run, _: run.log_input([{"a": 3}], context="test"),
    "track_dataset": lambda run, _: list(run.track_dataset([_image()[0]], name="t")),
    "live": lambda run, _: run.live("loss"),
    "log_table": lambda run, _: run.log_table([{"a": 1}, {"a": 2}], "table.csv"),
    "log_model": lambda run, _: run.log_model(Model(), metadata={"a": 1}, input_example=[[1.0]]),
}
QUICK = [name for name in CALLS if not name.startswith(("log_figure", "log_image", "log_model", "log_artifacts"))]


def covered() -> set[str]:
    """Names of the methods in the matrix."""
    return {name.split()[0] for name in CALLS}


def promised() -> set[str]:
    """Names of the public methods of a run that must never raise."""
    methods = {name for name in dir(Run) if not name.startswith("_") and callable(getattr(Run, name))}
    return methods - MAY_RAISE


def call_all(run: Run, place: Path, names: list[str] | None = None) -> int:
    """Make the calls; returns how many. Whatever one of them raises is an AssertionError that names it."""
    for name in names or CALLS:
        try:
            CALLS[name](run, place)
        except Exception as error:
            raise AssertionError(f"run.{name} raised {type(error).__name__}: {error}") from error
    return len(names or CALLS)
