"""Loading of logged models: the digest is checked before a byte is interpreted, and nothing is loaded without trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_sdk._logging import log
from mlops_sdk.errors import UntrustedModelError

if TYPE_CHECKING:
    from mlops_sdk.query.view import RunView

MODEL_FILE = "model.joblib"
"""Name of the serialised model below the model's own name."""


def load(run: RunView, name: str, *, trust: bool, check: bool) -> Any:
    """See `RunView.load_model`."""
    path = f"{name}/{MODEL_FILE}"
    ref = next((ref for ref in run.artifacts if ref.path == path), None)
    kind = ref.metadata.get("class", "an object") if ref else "an object"
    if not trust:
        raise UntrustedModelError(
            f"{path} of run {run.run_id} holds {kind}, serialised with joblib: loading it runs code from the file. "
            "Pass trust=True if you trust whoever logged it"
        )
    file = run.artifact(path)
    if check and ref is not None:
        _compare_versions(ref.metadata.get("packages") or {})
    import joblib

    return joblib.load(file)


def _compare_versions(logged: dict[str, str]) -> None:
    from importlib import metadata

    for package, version in logged.items():
        try:
            here = metadata.version(package)
        except metadata.PackageNotFoundError:
            here = "not installed"
        if here != version:
            log().warning("mlops_sdk: the model was logged with %s %s, here it is %s", package, version, here)
