"""The store without mlops_sdk: a SQLite file, read with the standard library and with pandas.

Run it: python examples/read_with_sqlite3.py

docs/storage-schema.md describes every table and view; they are a promise.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd

import mlops_sdk

for lr in (0.01, 0.1, 1.0):  # something to read
    with mlops_sdk.start_run(experiment="sql", name=f"lr {lr}", params={"lr": lr, "optimizer": "sgd"}) as run:
        for step in range(20):
            run.log_metric("loss", (1 - min(lr, 0.9)) ** step, step=step)

database = Path(mlops_sdk.get_tracking_uri()) / "store.db"
with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
    print("best runs, by sqlite3")
    rows = connection.execute(
        "SELECT m.run, p.number, m.min, m.min_step"
        " FROM v_metrics m JOIN v_params p ON p.run_id = m.run_id AND p.param = 'lr'"
        " WHERE m.experiment = 'sql' AND m.metric = 'loss' ORDER BY m.min LIMIT 3"
    )
    for name, lr, loss, step in rows:
        print(f"  {name:8}  lr={lr:<5} loss={loss:.6f} at step {step}")

    print("params as a table, by pandas")
    params = pd.read_sql_query("SELECT run, param, value FROM v_params WHERE experiment = 'sql'", connection)
    print(params.drop_duplicates(["run", "param"]).pivot(index="run", columns="param", values="value"))

    print("points, one row each: they are compressed in the file, so the library reads them")
    view = mlops_sdk.search_runs(experiment="sql", limit=1)[0]
    series = view.metric("loss")
    print(pd.DataFrame({"step": series.step, "loss": series.value}).tail(2).to_string(index=False))
