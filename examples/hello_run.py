"""The smallest run: params, a metric, a text file; then read it back.

Run it: python examples/hello_run.py

The run goes into the nearest .mlops directory; MLOPS_TRACKING_URI=/some/path names another place.
"""

from __future__ import annotations

import mlops_sdk

with mlops_sdk.start_run(experiment="hello", name="first", params={"lr": 0.1, "layers": [64, 10]}) as run:
    for step in range(100):
        run.log_metric("loss", 1 / (1 + 0.1 * step), step=step)
    run.log_text("The first run.\n", "notes.txt")

view = mlops_sdk.get_run(run.run_id)
print(f"{view.name}: {view.status} after {view.duration_s:.2f} s, params {dict(view.params)}")
print(f"loss: {len(view.metric('loss'))} points, the last {view.metrics['loss']:.4f}")
print(f"notes.txt: {view.artifact('notes.txt').read_text()!r}")
print(f"kept in {mlops_sdk.get_tracking_uri()}")
