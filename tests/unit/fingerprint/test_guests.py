"""Real objects of libraries that the tests do not install: `make test-versions` runs these in an environment with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mlops_sdk
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.making import fingerprint


@pytest.fixture
def xr() -> Any:
    return pytest.importorskip("xarray", reason="xarray is not installed: make test-versions has it")


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed (apt install python3-torch, with numpy 1.26)")


@pytest.fixture
def mlflow_data() -> Any:
    return pytest.importorskip("mlflow.data", reason="mlflow is not installed: make test-versions has it")


# -- xarray --------------------------------------------------------------------------------------------------------------


def weather(xr: Any, **changes: Any) -> Any:
    said: dict[str, Any] = {
        "t": (("time", "place"), np.arange(6.0).reshape(2, 3)), "w": ("time", [1, 2]), "version": ((), 3),
    } | changes  # fmt: skip
    times = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[ns]")
    return xr.Dataset(said, coords={"time": times, "place": ["a", "b", "c"]}, attrs={"source": "a station"})


def test_a_dataset_is_its_variables_with_their_coordinates(xr: Any) -> None:
    made = fingerprint(weather(xr))
    assert list(made.parts) == ["place(place)", "t(time, place)", "time(time)", "version()", "w(time)"]
    assert made.parts["t(time, place)"] == fingerprint(np.arange(6.0).reshape(2, 3))
    assert made.parts["version()"].n_rows == 1
    same = weather(xr)[["version", "w", "t"]]
    same.attrs = {}
    assert fingerprint(same) == made


@pytest.mark.parametrize(
    "change",
    [
        {"t": (("time", "place"), np.arange(6.0).reshape(2, 3) + 1e-12)}, {"t": (("place", "time"), np.arange(6.0).reshape(3, 2))},
        {"w": ("time", [2, 1])}, {"version": ((), 4)}, {"new": ((), 0)},
    ],
    ids=["a value", "dimensions", "order", "a scalar", "a variable"],
)  # fmt: skip
def test_every_change_of_a_dataset_is_seen(xr: Any, change: dict[str, Any]) -> None:
    before, after = fingerprint(weather(xr)), fingerprint(weather(xr, **change))
    assert before.digest != after.digest
    assert before.diff(after).verdict != "identical"


def test_a_coordinate_counts(xr: Any) -> None:
    data = weather(xr)
    moved = data.assign_coords(place=["a", "b", "d"])
    assert fingerprint(data["t"]) != fingerprint(moved["t"])
    assert list(fingerprint(data["t"]).parts) == ["place(place)", "t(time, place)", "time(time)"]
    assert list(fingerprint(xr.DataArray(np.arange(3))).parts) == ["0(dim_0)"]
    together = fingerprint({"w": data["w"], "p": data["place"]})
    assert list(together.parts["w"].parts) == ["time(time)", "w(time)"]


def test_a_dataset_read_in_parts_is_the_same(xr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_sdk.fingerprint import labelled

    for shape in ((50,), (50, 4), (50, 2, 3), (0, 3)):
        dims = [f"d{place}" for place in range(len(shape))]
        array = xr.DataArray(np.random.default_rng(0).standard_normal(shape), dims=dims)
        whole = fingerprint(array)
        with monkeypatch.context() as patched:
            patched.setattr(labelled, "_READ_BYTES", 100)
            assert fingerprint(array) == whole
        assert whole.parts[f"0({', '.join(dims)})"] == fingerprint(array.values)


def test_a_target_does_not_go_with_a_dataset(xr: Any) -> None:
    with pytest.raises(InvalidValueError, match="collection"):
        fingerprint(weather(xr), target="w")


# -- torch ---------------------------------------------------------------------------------------------------------------


def test_tensors_are_their_values_whatever_their_type(torch: Any) -> None:
    values = np.array([[0.5, -2.0], [3.0, 1.5], [256.0, 0.0]])
    expected = fingerprint(values).digest
    for kind in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        assert fingerprint(torch.tensor(values).to(kind)).digest == expected, kind
    assert fingerprint(torch.tensor(values, requires_grad=True)).digest == expected
    assert fingerprint(torch.tensor(values).T.contiguous().T).digest == expected
    assert fingerprint(torch.tensor(values)[::2]).digest == fingerprint(values[::2]).digest
    assert fingerprint({"x": torch.arange(3), "y": torch.tensor([True, False, True])}).n_columns == 2


def test_bfloat16_loses_nothing(torch: Any) -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    assert fingerprint(every).digest == fingerprint(every.to(torch.float64).numpy()).digest
    seen = fingerprint(every).columns["0"]
    assert seen.profile is not None
    assert seen.profile.n_nulls == 2 * 127


def test_a_sparse_tensor_is_refused_with_the_way_out(torch: Any) -> None:
    with pytest.raises(InvalidValueError, match="to_dense"):
        fingerprint(torch.eye(3).to_sparse())


def test_datasets_and_loaders_are_their_rows(torch: Any) -> None:
    from torch.utils.data import DataLoader, IterableDataset, TensorDataset

    x, y = np.random.default_rng(0).standard_normal((50, 3)), np.arange(50) % 2
    dataset = TensorDataset(torch.tensor(x), torch.tensor(y))
    made = fingerprint(DataLoader(dataset, batch_size=7))
    assert made.n_rows == 50
    assert list(made.columns) == ["0.0", "0.1", "0.2", "1"]
    for options in ({"batch_size": 50}, {"batch_size": 1}, {"batch_size": 16, "num_workers": 1}):
        assert fingerprint(DataLoader(dataset, **options)) == made
    shuffled = fingerprint(DataLoader(dataset, batch_size=7, shuffle=True))
    assert shuffled.content_digest == made.content_digest

    class Stream(IterableDataset):  # type: ignore[type-arg,misc]
        def __iter__(self) -> Iterator[Any]:
            return iter([{"x": row[0], "y": label} for row, label in zip(x, y, strict=True)])

    assert fingerprint(Stream()).digest == fingerprint({"x": x[:, 0], "y": y}).digest


def test_loaders_keep_torchs_random_state(torch: Any) -> None:
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(torch.arange(20)), batch_size=4, shuffle=True)
    torch.manual_seed(3)
    expected = [batch[0].tolist() for batch in loader]
    torch.manual_seed(3)
    assert fingerprint(loader).n_rows == 20
    assert [batch[0].tolist() for batch in loader] == expected


# -- MLflow --------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_log_input_takes_mlflows_datasets(mlflow_data: Any, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": [0, 1, 0]})
    x, y = frame[["a"]].to_numpy(), frame["y"].to_numpy()
    with mlops_sdk.start_run(tracking_uri=tmp_path / "s", capture=False, system_metrics=False, strict=True) as run:
        of_frame = run.log_input(
            mlflow_data.from_pandas(frame, targets="y", name="toy"), context="train", tags={"k": "v"}
        )
        assert (of_frame.digest, of_frame.name, of_frame.target) == (fingerprint(frame).digest, "toy", "y")
        of_array = run.log_input(mlflow_data.from_numpy(x, targets=y), context="test")
        assert of_array.digest == fingerprint(x, target=y).digest
        if hasattr(mlflow_data, "from_polars"):
            polars = pytest.importorskip("polars")
            made = run.log_input(mlflow_data.from_polars(polars.from_pandas(frame), targets="y"))
            assert made.digest == of_frame.digest
    (stored, *_) = mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path / "s").datasets
    assert (stored["name"], stored["context"], stored["tags"]) == ("toy", "train", {"k": "v"})
