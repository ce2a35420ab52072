"""Hugging Face Transformers: `Callback` for the ``callbacks=`` of a ``Trainer``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

from mlops_sdk.integrations.target import needed, run_or_active

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

_TrainerCallback: Any = needed("transformers").TrainerCallback


class Callback(_TrainerCallback):  # type: ignore[misc]  # its base has no types here
    """Log what the trainer logs, under its names, and the arguments that differ from their defaults.

    Parameters
    ----------
    run : Run, optional
        Default: the one that is active when training begins.
    log_checkpoints : bool
        Keep every checkpoint directory as artifacts.

    Notes
    -----
    Only the first process of a distributed training writes. All arguments are in ``training_args.json``, the model's
    configuration in ``model_config.json``.
    """

    def __init__(self, run: Run | None = None, *, log_checkpoints: bool = False) -> None:
        super().__init__()
        self._run = run
        self._log_checkpoints = log_checkpoints

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: Any = None, **_rest: Any) -> None:
        """Find the run; log arguments and configuration."""
        if not state.is_world_process_zero:
            return
        self._run = run_or_active(self._run)
        self._run.log_params(changed_arguments(args))
        self._run.log_dict(args.to_sanitized_dict(), "training_args.json")
        config: Any = getattr(model, "config", None)
        if hasattr(config, "to_dict"):
            self._run.log_dict(config.to_dict(), "model_config.json")
        if model is not None:
            self._run.log_param("n_weights", sum(weights.numel() for weights in model.parameters()))

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_rest: Any) -> None:
        """Log numbers at the global step."""
        if not state.is_world_process_zero or not logs:
            return
        self._run = run_or_active(self._run)
        numbers = {key: value for key, value in logs.items() if isinstance(value, Real) and not isinstance(value, bool)}
        self._run.log_metrics(numbers, step=state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **_rest: Any) -> None:
        """Keep a checkpoint, when asked."""
        if state.is_world_process_zero and self._log_checkpoints and self._run is not None:
            name = f"checkpoint-{state.global_step}"
            self._run.log_artifacts(f"{args.output_dir}/{name}", name)


def changed_arguments(args: Any) -> dict[str, Any]:
    """Arguments of the trainer that are not what they would be if nothing were said; secrets are left out."""
    sanitized = args.to_sanitized_dict()
    changed = {}
    for each in dataclasses.fields(args):
        value = getattr(args, each.name, None)
        is_default = each.default is not dataclasses.MISSING and value == each.default
        if each.init and not is_default and each.name in sanitized and not each.name.endswith("_token"):
            changed[each.name] = sanitized[each.name]
    return changed
