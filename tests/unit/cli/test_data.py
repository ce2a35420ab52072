"""``mlops fingerprint`` and ``mlops diff-data``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_sdk.cli.program import main
from mlops_sdk.fingerprint.making import fingerprint

FRAME = pd.DataFrame({"id": range(100), "x": np.arange(100) / 2, "s": [f"t{place}" for place in range(100)]})


def call(*words: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == code


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    changed = FRAME.copy()
    changed.loc[3, "s"] = "\x1b[31mred"
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    changed.to_parquet(tmp_path / "b.parquet")
    return str(tmp_path / "a.csv"), str(tmp_path / "b.parquet")


def test_a_file_is_described(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    call("fingerprint", files[0])
    out = capsys.readouterr().out
    made = fingerprint(FRAME)
    assert made.digest in out
    assert made.content_digest in out
    assert "49.5" in out
    call("fingerprint", files[0], "--json", "--no-cache", "--target", "x")
    said = json.loads(capsys.readouterr().out)
    assert (said["digest"], said["target"]) == (made.digest, "x")


def test_what_changed_and_the_rows(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    call("diff-data", *files, code=1)
    out = capsys.readouterr().out
    assert "columns changed: s" in out
    assert '- row 3: {"id": 3, "x": 1.5, "s": "t3"}' in out
    assert "+ row 3" in out
    assert "\x1b" not in out
    call("diff-data", *files, "--rows", "0", code=1)
    assert "row 3" not in capsys.readouterr().out
    call("diff-data", *files, "--json", code=1)
    assert json.loads(capsys.readouterr().out)["n_added"]["value"] == 1


def test_nothing_changed(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FRAME.to_parquet(tmp_path / "same.parquet")
    call("diff-data", files[0], str(tmp_path / "same.parquet"))
    assert capsys.readouterr().out == "identical\n"


def test_a_stored_fingerprint_stands_for_data_that_is_gone(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    call("fingerprint", files[0], "--json")
    kept = Path(files[0]).with_suffix(".json")
    kept.write_text(capsys.readouterr().out)
    Path(files[0]).unlink()
    call("diff-data", str(kept), files[1], code=1)
    out = capsys.readouterr().out
    assert "rows removed: 1" in out
    assert "+ row 3" in out
    assert "- row" not in out


def test_trouble_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("fingerprint", str(tmp_path / "nowhere.csv"), code=2)
    assert "no file to fingerprint" in capsys.readouterr().err
    (tmp_path / "x.json").write_text('{"version": 99, "content_digest": "", "schema_digest": ""}')
    call("diff-data", str(tmp_path / "x.json"), str(tmp_path / "x.json"), code=2)
    assert "version 99" in capsys.readouterr().err


def test_a_directory(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("fingerprint", str(tmp_path))
    out = capsys.readouterr().out
    assert "files    2" in out
    assert "tables   2" in out
