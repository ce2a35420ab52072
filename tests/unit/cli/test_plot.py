"""``mlops plot``: files and braille."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlops_sdk
from mlops_sdk.cli.braille import draw, frame_of
from mlops_sdk.plots.series import Points
from tests.unit.cli.conftest import HOSTILE, QUIET, Mlops


def points(values: list[float]) -> Points:
    return Points(np.arange(len(values), dtype=np.float64), np.array(values, np.float64))


@pytest.mark.parametrize("name, magic", [("a.png", b"\x89PNG"), ("b.SVG", b"<?xml"), ("c.pdf", b"%PDF")])
def test_a_file_is_written_and_named(mlops: Mlops, made: Path, tmp_path: Path, name: str, magic: bytes) -> None:
    result = mlops("plot", "loss", "slow", "fast", "--smooth", "0.5", "--log", "-o", tmp_path / name, "--store", made)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / name}\n")
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_a_curve_falls_in_the_terminal(mlops: Mlops, made: Path) -> None:
    result = mlops("plot", "loss", "fast", "--store", made)
    lines = result.stdout.splitlines()
    assert lines[0] == "loss over step"
    assert lines[1].strip().startswith("1 ┤")
    assert lines[-1] == "⣿ fast"
    assert lines[-2].split() == ["0", "49"]
    first = [line.split("┤")[-1].split("│")[-1] for line in lines[1:15]]
    assert first[0][0] != " "
    assert len(first[-1]) > len(first[0])


def test_without_colours_each_run_has_its_own_picture_on_one_scale(mlops: Mlops, made: Path) -> None:
    output = mlops("plot", "loss", "slow", "fast", "-x", "time", "--store", made).stdout
    assert [line for line in output.splitlines() if line in ("slow", "fast")] == ["slow", "fast"]
    assert output.count(" 1 ┤") == 2
    assert output.splitlines()[0].startswith("loss over time [")


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["los", "slow"], 2, "none of these runs has metric 'los': they have 'loss'"),
        (["loss", "slow", "-o", "x.docx"], 2, "the name of the file ends with .png, .svg, .pdf"),
        (["loss", "slow", "--smooth", "1"], 2, "smooth is 1.0"),
        (["loss", "slow", "-x", "nope"], 1, "the run has no metric 'nope'"),
        (["nan", "odd-numbers"], 2, "has no finite value"),
        (["loss", "nobody"], 1, "no run 'nobody'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(mlops: Mlops, made: Path, arguments: list[str], code: int, said: str) -> None:
    result = mlops("plot", *arguments, "--store", made)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (code, "", 1)
    assert said in result.stderr


def test_names_are_harmless_in_the_terminal(mlops: Mlops, tmp_path: Path) -> None:
    for run_id in ("hostile-1", "hostile-2"):
        with mlops_sdk.start_run(name=HOSTILE, run_id=run_id, tracking_uri=tmp_path, **QUIET) as run:
            run.log_metric("m", 1.0)
    output = mlops("plot", "m", "hostile-1", "hostile-2", "--store", tmp_path).stdout
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(output)


@given(st.lists(st.floats(), min_size=1, max_size=50), st.booleans(), st.integers(10, 60))
def test_every_float_is_drawn_within_the_frame(values: list[float], is_log: bool, width: int) -> None:
    curve = points(values)
    frame = frame_of([curve], is_log=is_log)
    if frame is None:
        assert not any(math.isfinite(value) and (value > 0 or not is_log) for value in values)
        return
    lines = draw([curve], frame, width=width, height=6)
    assert len(lines) == 8
    assert max(map(len, lines)) <= max(width, len(lines[0]) + 60)
    assert any("\u2801" <= character <= "\u28ff" for line in lines[:6] for character in line)


def test_a_rising_line_uses_every_height() -> None:
    curve = points([float(value) for value in range(100)])
    frame = frame_of([curve])
    assert frame is not None
    lines = draw([curve], frame, width=40, height=5)
    starts = [min(index for index, character in enumerate(line) if character > "\u2800") for line in lines[:5]]
    assert starts == sorted(starts, reverse=True)
    assert lines[0].strip().startswith("99 ┤")
