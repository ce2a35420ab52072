"""A training loop with nothing but numpy: logistic regression by gradient descent, every step tracked.

Run it: python examples/numpy_training_loop.py
"""

from __future__ import annotations

import numpy as np

import mlops_sdk

params = {"lr": 0.5, "l2": 1e-3, "n_steps": 300, "seed": 0}


def make_data(rng: np.random.Generator, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that overlap a little: inputs of shape (n, 5), labels of shape (n,)."""
    x = rng.normal(size=(n, 5))
    noise = rng.normal(scale=0.5, size=n)
    return x, (x @ [1.5, -2.0, 0.0, 0.7, 0.0] + noise > 0).astype(float)


def loss_and_gradient(w: np.ndarray, x: np.ndarray, y: np.ndarray, l2: float) -> tuple[float, np.ndarray]:
    """Cross-entropy with its gradient."""
    p = 1 / (1 + np.exp(-x @ w))
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)) + l2 * w @ w
    return loss, x.T @ (p - y) / len(y) + 2 * l2 * w


x, y = make_data(np.random.default_rng(params["seed"]))
x_train, y_train, x_test, y_test = x[:400], y[:400], x[400:], y[400:]

with mlops_sdk.start_run(experiment="numpy", params=params, tags=["example"]) as run:
    run.define_metric("test/accuracy", mode="max")
    w = np.zeros(5)
    for step in range(params["n_steps"]):
        loss, gradient = loss_and_gradient(w, x_train, y_train, params["l2"])
        w -= params["lr"] * gradient
        # It is a few bytes written into a journal: no need to log only now and then.
        run.log_metrics({"train/loss": loss, "gradient_norm": np.linalg.norm(gradient)}, step=step)
        if step % 10 == 9:
            run.log_metric("test/accuracy", np.mean((x_test @ w > 0) == y_test), step=step)
    np.savetxt(run.artifact_path("weights.csv"), w)  # kept when the run ends

best = run.summary("test/accuracy")
print(f"loss {run.summary('train/loss').first:.3f} -> {run.summary('train/loss').last:.3f}")
print(f"best accuracy {best.max:.3f} at step {best.max_step}")
print(f"weights {np.loadtxt(run.artifact('weights.csv')).round(2)}")
