"""G23 and A30: no secret of the environment, the command line or a git remote is stored or said."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

import mlops_sdk
from tests.guarantees import processes
from tests.unit.capture.canaries import Canary, canaries

N = 200
_PROGRAM = """
import json, sys, time
import mlops_sdk
secrets = json.load(open(sys.argv[2]))
run = mlops_sdk.start_run(tracking_uri=sys.argv[1], run_id="r", system_metrics=False,
                          capture={"git", "diff", "packages", "argv", "system", "stdout"})
for text in secrets["stdout"]:
    print(text)
print("harmless: epoch 3 loss 0.125 lr 1e-3 sha 3f786850e387550fdab836ed7e6dc881de23001b", file=sys.stderr)
run.log_param("control", "a canary that may be kept")
run.log_metric("loss", "bad")
run.log_artifact("/no/such/file")
run._background.wait(30)
"""
_VARIABLES = ["AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "WANDB_API_KEY", "DATABASE_URL", "HTTPS_PROXY", "PIP_INDEX_URL",
              "PIP_EXTRA_INDEX_URL", "CONDA_CHANNEL", "SSH_PASS", "GITHUB_TOKEN", "SLURM_JOB_COMMENT",
              "KUBERNETES_SERVICE_TOKEN", "CI_JOB_TOKEN", "MLOPS_TOKEN", "SOME_SETTING"]  # fmt: skip


def _git(place: Path, *arguments: str) -> None:
    identity = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    subprocess.run(["git", *arguments], cwd=place, check=True, capture_output=True, env={**os.environ, **identity})


def _repository(place: Path, remote: str, uncommitted: list[str]) -> None:
    place.mkdir()
    _git(place, "init", "-q")
    (place / "train.py").write_text("print('hello')\n")
    _git(place, "add", ".")
    _git(place, "commit", "-qm", "first")
    _git(place, "remote", "add", "origin", remote)
    (place / "train.py").write_text("\n".join(["print('hello')", *uncommitted, "learning_rate = 0.5"]) + "\n")


def _everything_below(place: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file())


@pytest.mark.slow
def test_no_canary_is_found_in_the_store_or_the_log(tmp_path: Path) -> None:
    made = canaries(N, seed=23)
    assert len({canary.shape for canary in made}) >= 40
    rng = random.Random(23)
    shuffled = rng.sample(made, N)
    environment, argv, printed, changed = (shuffled[start : start + N // 4] for start in range(0, N, N // 4))
    one_line = [canary for canary in argv if "\n" not in canary.text and "\0" not in canary.text]
    secret = "".join(rng.choices("abcdefghijkmnpqrstuvwxyz23456789", k=24))
    _repository(
        tmp_path / "work", f"https://joe:{secret}@example.org/a/b.git?token={secret}", [c.text for c in changed]
    )
    (tmp_path / "secrets.json").write_text(json.dumps({"stdout": [canary.text for canary in printed]}))
    variables = {f"{_VARIABLES[i % 15]}_{i}" if i >= 15 else _VARIABLES[i]: c.text for i, c in enumerate(environment)}
    done = processes.run(
        _PROGRAM, tmp_path / "store", tmp_path / "secrets.json", *(c.text for c in one_line),
        cwd=tmp_path / "work", env=processes.environment(**variables),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stored = _everything_below(tmp_path / "store").decode("latin-1")
    view = mlops_sdk.get_run("r", tracking_uri=tmp_path / "store")
    shown = json.dumps([view.environment, view.git, view.system, list(view.warnings)], default=str)
    leaks = [_told(place, canary) for place, group in
             (("environment", environment), ("argv", one_line), ("stdout", printed), ("diff", changed))
             for canary in group if canary.survives_in(stored) or canary.survives_in(shown)]  # fmt: skip
    assert "a canary that may be kept" in stored, "the search finds what is there"
    assert leaks == []
    assert secret not in stored
    assert secret not in shown
    assert not any(canary.survives_in(done.stderr) for canary in made)
    _check_what_is_kept(view)
    print(f"G23: {N} canaries of {len({c.shape for c in made})} shapes in 5 places, 0 leaks")


def _told(place: str, canary: Canary) -> str:
    return f"{place}: {canary.shape}: {canary.text[:60]!r}"


def _check_what_is_kept(view: mlops_sdk.RunView) -> None:
    """False redactions among what is harmless: none."""
    assert "epoch 3 loss 0.125 lr 1e-3 sha 3f786850e387550fdab836ed7e6dc881de23001b" in view.environment["output"]
    assert view.git["remote"].startswith("https://example.org/a/b")
    assert view.git["dirty"] is True
    assert "learning_rate = 0.5" in json.dumps(view.git)


def test_the_diff_is_no_text_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _repository(tmp_path / "work", "https://example.org/a.git", ["unpublished = 'idea'"])
    monkeypatch.chdir(tmp_path / "work")
    with mlops_sdk.start_run(tracking_uri=tmp_path / "store", capture={"git"}, system_metrics=False) as run:
        assert run._background is not None
        run._background.wait(30)
    assert run.git["dirty"] is True
    assert b"unpublished" not in _everything_below(tmp_path / "store")
