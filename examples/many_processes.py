"""Several processes write to one run: joblib workers that are handed the run, and ranks that attach by its id.

Run it: python examples/many_processes.py
"""

from __future__ import annotations

import multiprocessing
import os

from joblib import Parallel, delayed

import mlops_sdk

N_FOLDS, N_RANKS, N_STEPS = 4, 2, 50


def fit_fold(run: mlops_sdk.Run, fold: int) -> int:
    """Work of a joblib worker: the run arrives pickled, and attaches here with a journal of its own."""
    for step in range(N_STEPS):
        run.log_metric(f"fold_{fold}/loss", 1 / (1 + step + fold), step=step)
    run.flush()  # the worker lives on: in the store now, not within a second
    return os.getpid()


def train_rank(run_id: str, rank: int) -> None:
    """Work of one rank; launchers such as torchrun and srun set the variable themselves."""
    os.environ["RANK"] = str(rank)
    with mlops_sdk.attach_run(run_id) as run:  # its end is recorded, the run goes on
        for step in range(N_STEPS):
            run.log_metric("loss", (rank + 1) / (1 + step), step=step)


def main() -> None:
    with mlops_sdk.start_run(experiment="processes") as run:
        pids = Parallel(n_jobs=2)(delayed(fit_fold)(run, fold) for fold in range(N_FOLDS))
        context = multiprocessing.get_context("spawn")
        ranks = [context.Process(target=train_rank, args=(run.run_id, rank)) for rank in range(N_RANKS)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join()

    view = mlops_sdk.get_run(run.run_id)
    print(f"{view.status}: folds from {len(set(pids))} joblib workers, ranks from {N_RANKS} processes")
    for fold in range(N_FOLDS):
        print(f"fold {fold}: {len(view.metric(f'fold_{fold}/loss'))} points")
    everything = view.metric("loss", rank="all")
    print(f"loss: {len(everything)} points of ranks {sorted(set(everything.rank.tolist()))}")
    print(f"rank 1 alone: {len(view.metric('loss', rank=1))} points, the last {view.metric('loss', rank=1).value[-1]}")


if __name__ == "__main__":
    main()
