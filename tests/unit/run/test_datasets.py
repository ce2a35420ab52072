"""`log_dataset` and its like: what is stored, what is warned of, what never reaches the training."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mlops_sdk
from mlops_sdk.fingerprint.making import fingerprint
from mlops_sdk.run.run import Run

VALUES = np.random.default_rng(0).standard_normal((1000, 4))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with mlops_sdk.start_run(tracking_uri=tmp_path / "store", capture=False, system_metrics=False) as run:
        yield run


def stored(run: Run) -> list[Any]:
    run.finish()
    return list(mlops_sdk.get_run(run.run_id, tracking_uri=run._recorder.place.uri).datasets)


def test_what_is_stored_is_the_fingerprint(run: Run) -> None:
    made = run.log_dataset(VALUES, name="digits", context="train", target=np.arange(1000) % 2)
    assert made
    assert made.target == "target"
    (said,) = stored(run)
    assert (said["name"], said["context"], said["digest"], said["target"]) == ("digits", "train", made.digest, "target")
    again = mlops_sdk.Fingerprint.from_dict(said)
    assert again == made
    other = VALUES.copy()
    other[7] = 0
    assert again.diff(fingerprint(other, target=np.arange(1000) % 2)).n_removed.value == 1  # type: ignore[union-attr]


def test_a_fingerprint_is_logged_as_it_is(run: Run) -> None:
    made = fingerprint(VALUES, profile=False, salt="x")
    assert run.log_dataset(made, name="secret") == made
    (said,) = stored(run)
    assert "profile" not in json.dumps(said)


def test_rows_shared_by_train_and_test_are_said_once(run: Run) -> None:
    run.log_dataset(VALUES[:800], name="a", context="train")
    run.log_dataset(VALUES[800:], name="b", context="test")
    assert run.health()["errors"] == {}
    run.log_dataset(VALUES[700:], name="c", context="validation")
    assert run.health()["errors"] == {"LeakedRows": 1}
    assert "100 rows of validation 'c' are in train 'a'" in run.health()["messages"]["LeakedRows"]
    run.log_dataset(VALUES[:10], name="d", context="other")
    run.log_dataset(pd.DataFrame(VALUES[:10], columns=list("abcd")), name="e", context="test")
    assert run.health()["errors"] == {"LeakedRows": 1}


def test_test_before_train_is_seen_too(run: Run) -> None:
    run.log_dataset(VALUES[:10], context="test")
    run.log_dataset(VALUES, context="train")
    assert "10 rows of test are in train too (100.0% of it)" in run.health()["messages"]["LeakedRows"]


def test_leaks_do_not_raise_in_a_strict_run(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path / "s", capture=False, system_metrics=False, strict=True) as run:
        run.log_dataset(VALUES, context="train")
        run.log_dataset(VALUES, context="test")
        with pytest.raises(mlops_sdk.InvalidValueError, match="track_dataset"):
            run.log_dataset(iter([VALUES]))


def test_batches_are_fingerprinted_in_passing(run: Run) -> None:
    batches = [(VALUES[start : start + 100], np.arange(100)) for start in range(0, 1000, 100)]
    tracked = run.track_dataset(batches, name="stream", context="train")
    assert len(tracked) == 10
    assert tracked.fingerprint is None
    seen = list(tracked)
    assert all(one is other for one, other in zip(seen, batches, strict=True))
    assert list(tracked)
    assert tracked.fingerprint is not None
    assert tracked.fingerprint.digest == fingerprint(iter(batches)).digest
    (said,) = stored(run)
    assert said["n_rows"] == 1000


def test_a_pass_that_is_left_early_is_counted(run: Run) -> None:
    for _ in run.track_dataset([VALUES, VALUES], name="x"):
        break
    assert run.health()["errors"] == {"PartlyRead": 1}
    assert stored(run) == []


def test_trouble_with_a_batch_never_reaches_the_loop(run: Run) -> None:
    assert list(run.track_dataset([1, 2], name="x")) == [1, 2]
    assert run.health()["errors"] == {"InvalidValueError": 1}
    with pytest.raises(ZeroDivisionError):
        list(run.track_dataset(1 / each for each in (1, 0)))


def test_random_states_are_put_back(run: Run) -> None:
    class Loader:
        def __iter__(self) -> Iterator[Any]:
            return iter([np.random.random((3, 2)) + random.random()])  # noqa: NPY002 - the legacy state is the subject

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - as above
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - as above
    assert run.log_dataset(Loader()).n_rows == 3
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002 - as above


def test_a_loaders_own_generator_is_put_back(run: Run) -> None:
    class Generator:
        state = 5

        def get_state(self) -> int:
            return self.state

        def set_state(self, state: int) -> None:
            self.state = state

    class Loader:
        generator = Generator()

        def __iter__(self) -> Iterator[Any]:
            self.generator.state += 1
            return iter([VALUES])

    loader = Loader()
    assert run.log_dataset(loader)
    assert loader.generator.state == 5


def test_a_file_is_read_once(run: Run, tmp_path: Path) -> None:
    pd.DataFrame(VALUES).to_csv(tmp_path / "x.csv", index=False)
    os.utime(tmp_path / "x.csv", (1e9, 1e9))
    made = run.log_dataset(tmp_path / "x.csv", context="train")
    (entry,) = (Path(os.environ["XDG_CACHE_HOME"]) / "mlops" / "fingerprints").iterdir()
    assert made.digest in entry.read_text()
    run.log_dataset(str(tmp_path / "x.csv"), context="test")
    assert run.health()["errors"] == {"LeakedRows": 1}


def test_log_input_is_mlflows_name(run: Run) -> None:
    run.log_input(VALUES, "train", {"source": "lab"}, name="x")
    (said,) = stored(run)
    assert (said["name"], said["context"], said["tags"]) == ("x", "train", {"source": "lab"})


def test_wide_tables_go_to_an_artifact(run: Run) -> None:
    made = run.log_dataset(np.random.default_rng(0).standard_normal((300, 400)), name="wide")
    (said,) = stored(run)
    assert len(json.dumps(said)) < 600_000
    view = mlops_sdk.get_run(run.run_id, tracking_uri=run._recorder.place.uri)
    whole = json.loads(view.artifact(said["artifact"]).read_bytes())
    assert mlops_sdk.Fingerprint.from_dict(whole) == made == mlops_sdk.Fingerprint.from_dict(said)
    assert whole["columns"][399]["profile"]


def test_names_are_checked(run: Run) -> None:
    assert not run.log_dataset(VALUES, name="")
    assert not run.log_dataset(VALUES, context="x" * 5000)


def test_module_level_functions_and_disabled_runs(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path / "s", capture=False, system_metrics=False):
        assert mlops_sdk.log_dataset(VALUES, name="x") == fingerprint(VALUES)
        assert list(mlops_sdk.track_dataset([VALUES]))
    with mlops_sdk.start_run(mode="disabled") as run:
        assert not run.log_dataset(object())
        assert list(run.track_dataset([1])) == [1]


def test_show_names_the_datasets(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    from mlops_sdk.cli.program import main

    made = run.log_dataset(VALUES, name="digits", context="train")
    run.finish()
    with pytest.raises(SystemExit) as ended:
        main(["show", run.run_id, "--store", run._recorder.place.uri])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"train  digits  {made.digest}" in out
