# ruff: noqa: NPY002 - the state of the global generator is the subject
from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlops_sdk
from mlops_sdk.capture.environment import capture_environment
from mlops_sdk.capture.seeds import capture_seeds


def install(folder: Path, name: str, metadata: str) -> None:
    info = folder / f"{name}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(metadata)


@pytest.fixture
def packages_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])


def test_the_interpreter() -> None:
    captured = capture_environment()
    assert captured["python"] == ".".join(map(str, sys.version_info[:3])) or sys.version_info.releaselevel != "final"
    assert captured["implementation"] == sys.implementation.name
    assert captured["executable"] == sys.executable
    assert captured["platform"]
    assert f"numpy=={np.__version__}" in captured["packages"]
    assert json.loads(json.dumps(captured)) == captured


@pytest.mark.usefixtures("packages_of")
def test_packages_are_normalised_sorted_and_named_once(tmp_path: Path) -> None:
    install(tmp_path / "a", "Zope.Interface-2", "Name: Zope.Interface\nVersion: 2\n")
    install(tmp_path / "a", "my__pkg-1", "Name: My__Pkg\nVersion: 1\n")
    install(tmp_path / "b", "my_pkg-9", "Name: my-pkg\nVersion: 9\n")  # behind: not the one that is imported
    sys.path[:] = [str(tmp_path / "a"), str(tmp_path / "b")]
    captured = capture_environment()
    assert captured["packages"] == ["my-pkg==1", "zope-interface==2"]
    assert "errors" not in captured


@pytest.mark.usefixtures("packages_of")
def test_the_digest_is_of_the_packages(tmp_path: Path) -> None:
    install(tmp_path / "a", "one-1", "Name: one\nVersion: 1\n")
    install(tmp_path / "b", "two-2", "Name: two\nVersion: 2\n")
    sys.path[:] = [str(tmp_path / "a"), str(tmp_path / "b")]
    forward = capture_environment()["digest"]
    sys.path.reverse()
    assert capture_environment()["digest"] == forward
    install(tmp_path / "b", "three-3", "Name: three\nVersion: 3\n")
    assert capture_environment()["digest"] != forward
    assert len(forward) == 64


@pytest.mark.usefixtures("packages_of")
def test_a_broken_package_costs_itself_only(tmp_path: Path) -> None:
    install(tmp_path / "a", "one-1", "Name: one\nVersion: 1\n")
    install(tmp_path / "a", "broken-1", "")
    sys.path[:] = [str(tmp_path / "a")]
    captured = capture_environment()
    assert captured["packages"] == ["one==1"]
    assert len(captured["errors"]) == 1
    assert captured["errors"][0].startswith("package")


def test_seeds_tell_states_apart_and_draw_nothing() -> None:
    random.seed(7)
    np.random.seed(7)
    first = capture_seeds()
    assert capture_seeds() == first
    drawn = random.random(), np.random.random()
    later = capture_seeds()
    assert later["random_sha256"] != first["random_sha256"]
    assert later["numpy_sha256"] != first["numpy_sha256"]
    random.seed(7)
    np.random.seed(7)
    assert capture_seeds() == first
    assert (random.random(), np.random.random()) == drawn


def test_a_drawn_half_of_a_pair_of_normals_is_another_state() -> None:
    np.random.seed(7)
    np.random.normal(size=2)
    whole = capture_seeds()["numpy_sha256"]
    np.random.seed(7)
    np.random.normal(size=1)
    assert capture_seeds()["numpy_sha256"] != whole


def test_the_hash_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    assert capture_seeds()["python_hash_seed"] is None
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    assert capture_seeds()["python_hash_seed"] == "0"


class Torch:
    """What is asked of the real one, which is not installed here."""

    @staticmethod
    def initial_seed() -> int:
        return 2**64 - 1


class BrokenTorch:
    @staticmethod
    def initial_seed() -> int:
        raise RuntimeError("half imported")


def test_torch_where_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", Torch)
    assert capture_seeds()["torch_initial_seed"] == 2**64 - 1
    monkeypatch.setitem(sys.modules, "torch", BrokenTorch)
    captured = capture_seeds()
    assert "torch_initial_seed" not in captured
    assert captured["errors"] == ["torch_initial_seed: RuntimeError: half imported"]
    assert captured["random_sha256"]


def test_no_library_is_imported_for_it() -> None:
    program = (
        "import random, sys; from mlops_sdk.capture.environment import capture_environment\n"
        "from mlops_sdk.capture.seeds import capture_seeds\n"
        "seeds = capture_seeds(); capture_environment()\n"
        "assert 'numpy_sha256' not in seeds and 'random_sha256' in seeds, seeds\n"
        "assert not {'numpy', 'torch', 'psutil'} & set(sys.modules)\n"
    )
    root = Path(mlops_sdk.__file__).parents[1]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)
