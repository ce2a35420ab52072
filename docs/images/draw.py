"""Draws the pictures of the guides from runs made here, the same each time.

    python docs/images/draw.py [DIRECTORY]

Pictures of the notebook output need a Chromium; without one they are left as they are.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import mlops_sdk
from mlops_sdk.query.view import RunView

HERE = Path(__file__).resolve().parent
QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}
MODELS = {"mlp": 0.86, "cnn": 0.93, "transformer": 0.91}
DOTS_PER_INCH = 100


def make_runs(uri: Path) -> mlops_sdk.Runs:
    """Three models, five seeds each; learning rates over two decades."""
    rng = np.random.default_rng(7)
    for index in range(15):
        model, seed = list(MODELS)[index % 3], index // 3
        lr = float(10 ** rng.uniform(-3.5, -1.5))
        params = {"model": model, "seed": seed, "lr": lr, "batch_size": int(2 ** rng.integers(4, 8))}
        top = MODELS[model] - 0.05 * (math.log10(lr) + 2.5) ** 2
        with mlops_sdk.start_run(
            experiment="guide", name=f"{model}-{seed}", params=params, tracking_uri=uri, **QUIET
        ) as run:
            run.define_metric("val/acc", mode="max")
            for step in range(200):
                loss = 2.2 * math.exp(-step * (lr**0.4) / 4) + 0.05
                run.log_metrics(
                    {
                        "train/loss": loss * float(np.exp(rng.normal(0, 0.15))),
                        "val/loss": 1.2 * loss * float(np.exp(rng.normal(0, 0.1))) + 0.03,
                        "val/acc": top * (1 - math.exp(-step / 30)) + float(rng.normal(0, 0.012)),
                    },
                    step=step,
                    timestamp=1.8e9 + step,
                )
    return mlops_sdk.search_runs(tracking_uri=uri, order_by="name")


def draw(runs: mlops_sdk.Runs, target: Path) -> None:
    """One picture a kind."""
    pictures = {
        "plot-curves": runs[::5].plot("train/loss", smooth=0.9, yscale="log"),
        "plot-band": runs.plot("val/acc", kind="band", by="params.model"),
        "plot-bars": runs.plot("val/acc", kind="bars", by="params.model"),
        "plot-scatter": runs.plot("lr", "val/acc", kind="scatter", by="params.model"),
        "plot-parallel": runs.plot("model", "batch_size", "lr", "val/acc", kind="parallel"),
        "plot-overview": runs[0].plot(smooth=0.8),
    }
    for name, ax in pictures.items():
        figure = ax.get_figure(root=True)
        assert figure is not None
        figure.savefig(target / f"{name}.png", dpi=DOTS_PER_INCH)
        shrink(target / f"{name}.png")


def shrink(file: Path) -> None:
    """Keep 256 colours: a third of the bytes, and nobody sees it."""
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


def photograph(runs: mlops_sdk.Runs, target: Path, scratch: Path) -> None:
    """The notebook output in a light and a dark page."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print("no Chromium here: the pictures of notebook output stay as they are")
        return
    anybodys = RunView(runs._store, replace(runs[0]._head(), user="ada", host="lab"))
    body = runs[:6]._repr_html_() + "<br>" + anybodys._repr_html_()
    for theme, colours in {"light": "background:#fff;color:#222", "dark": "background:#111;color:#ddd"}.items():
        page = scratch / f"{theme}.html"
        style = f"{colours};font-family:sans-serif;margin:16px"
        page.write_text(f"<!doctype html><meta charset=utf-8><body style='{style}'>{body}", encoding="utf-8")
        picture = target / f"notebook-{theme}.png"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1180,640"]
        subprocess.run([browser, *flags, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True)
        shrink(picture)


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        runs = make_runs(Path(scratch) / ".mlops")
        draw(runs, target)
        photograph(runs, target, Path(scratch))


if __name__ == "__main__":
    main()
