"""Each notebook runs on a real kernel, top to bottom, and shows what it is there to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import mlops_sdk

NOTEBOOKS = Path(__file__).resolve().parents[2] / "examples" / "notebooks"
NAMES = {path.stem for path in NOTEBOOKS.glob("*.ipynb")}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning"),  # of the client's own parts
]


def load(name: str) -> Any:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)  # type: ignore[no-untyped-call]


def run_notebook(name: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Run a notebook in `directory`; returns what its cells put out, printed text as ``text/plain``."""
    monkeypatch.setenv("PYTHONPATH", str(Path(mlops_sdk.__file__).parents[1]))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = load(name)
    NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(directory)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert [text for text in said if not text.startswith("mlops_sdk: ")] == [], "a notebook runs without a warning"
    return [output.get("data") or {"text/plain": output.get("text", "")} for output in outputs]


def seen(outputs: list[dict[str, Any]], kind: str = "text/html") -> list[str]:
    return [output[kind] for output in outputs if kind in output]


def test_every_notebook_has_a_test_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert len(NAMES) >= 3
    assert [name for name in NAMES if f'run_notebook("{name}"' not in text] == []


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_notebook_is_stored_with_what_it_showed(name: str) -> None:
    """So that it can be read where nothing is installed."""
    notebook = load(name)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("text/html" in output.get("data", {}) for output in outputs)
    assert not any(output["output_type"] == "error" or output.get("name") == "stderr" for output in outputs)


def test_sklearn_code_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = run_notebook("sklearn_code_as_it_is", tmp_path, monkeypatch)
    uri = tmp_path / ".mlops"
    baseline, search = (mlops_sdk.get_run(name, tracking_uri=uri) for name in ("baseline", "search"))
    assert (baseline.status, search.status) == ("FINISHED", "FINISHED")
    assert baseline.metrics["test_accuracy"] > 0.9
    assert len(search.cv_results()) == 4
    card, *_, comparison = seen(outputs)
    assert "test_accuracy" in card
    assert "what changed" in comparison
    assert len(seen(outputs, "image/png")) == 2
    assert seen(outputs, "text/plain")[-1] == "True\n"


def test_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = run_notebook("a_sweep", tmp_path, monkeypatch)
    runs = mlops_sdk.search_runs("params.width >= 1", tracking_uri=tmp_path / ".mlops")
    assert [run.status for run in runs] == ["FINISHED"] * 12
    assert {len(run.metric("test/accuracy")) for run in runs} == {10}
    assert any("width=64 is better than width=8" in page for page in seen(outputs))
    assert len(seen(outputs, "image/png")) == 2


def test_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = run_notebook("what_changed", tmp_path, monkeypatch)
    said = "".join(seen(outputs, "text/plain"))
    assert "columns changed: bmi\n" in said
    assert "rows removed: 25\n" in said
    assert said.count("and 22 more") == 2
    assert "20 rows of test" in said
    assert len(seen(outputs, "image/png")) == 1
