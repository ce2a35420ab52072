"""Loading of logged models: the digest is checked before a byte is interpreted, and no code runs without trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_sdk._logging import log
from mlops_sdk.errors import ArtifactNotFoundError, InvalidValueError, UntrustedModelError
from mlops_sdk.models.formats import FILES, JOBLIB, Format

if TYPE_CHECKING:
    from mlops_sdk.entities import ArtifactRef
    from mlops_sdk.query.view import RunView


def load(run: RunView, name: str, *, trust: bool, check: bool, into: Any) -> Any:
    """See `RunView.load_model`."""
    ref, kept_in = _newest(run, name)
    if not trust and kept_in is JOBLIB:  # before its bytes are fetched
        raise _untrusted(run, ref, kept_in, "loading it runs code from the file")
    if into is not None and kept_in.name != "torch":
        raise InvalidValueError(f"into= is for PyTorch's weights; {ref.path} is in the format {kept_in.name}")
    file = run.artifact(ref.path)
    danger = None if trust else kept_in.dangers(file)
    if danger:
        raise _untrusted(run, ref, kept_in, danger)
    if check:
        _compare_versions(ref.metadata.get("packages") or {})
    model = kept_in.load(file, ref.metadata.get("details") or {})
    if into is not None:
        into.load_state_dict(model)
        model = into
    inputs = (ref.metadata.get("signature") or {}).get("inputs")
    if not check or inputs is None:
        return model
    from mlops_sdk.models.checked import checked

    return checked(model, inputs)


def _newest(run: RunView, name: str) -> tuple[ArtifactRef, Format]:
    """The file of that model that was logged last, in whatever format."""
    paths = {f"{name}/{file}": each for file, each in FILES.items()}
    found = [ref for ref in run.artifact_versions if ref.path in paths]
    if not found:
        raise ArtifactNotFoundError(name, f"the run has no model {name!r}")
    return found[-1], paths[found[-1].path]


def _untrusted(run: RunView, ref: ArtifactRef, kept_in: Format, danger: str) -> UntrustedModelError:
    kind = ref.metadata.get("class", "an object")
    return UntrustedModelError(
        f"{ref.path} of run {run.run_id} holds {kind}, serialised with {kept_in.name}: {danger}. "
        "Pass trust=True if you trust whoever logged it"
    )


def _compare_versions(logged: dict[str, str]) -> None:
    from importlib import metadata

    for package, version in logged.items():
        try:
            here = metadata.version(package)
        except metadata.PackageNotFoundError:
            here = "not installed"
        if here != version:
            log().warning("mlops_sdk: the model was logged with %s %s, here it is %s", package, version, here)
