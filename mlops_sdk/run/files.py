"""The file-logging methods of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_sdk.entities import ArtifactRef
from mlops_sdk.run.trouble import words_of
from mlops_sdk.values.describing import text_of

if TYPE_CHECKING:
    from mlops_sdk.run.artifacts import Artifacts
    from mlops_sdk.run.trouble import Troubles


class FileLogging:
    """What `Run` offers for files; mixed into it.

    Notes
    -----
    Every method returns when the bytes are durable in the local blob store (the original may vanish), and never raises
    unless the run is strict: a falsy reference with `.error` says what went wrong. The same path again is a new version.
    """

    _artifacts: Artifacts
    _troubles: Troubles

    def log_artifact(
        self, path: str | os.PathLike[str], artifact_path: str | None = None, *, step: int | None = None
    ) -> ArtifactRef:
        """Keep a copy of a file.

        Parameters
        ----------
        path : path-like
            A regular file.
        artifact_path : str, optional
            Directory in the run's artifacts to put it under.
        step : int, optional
        """

        def put() -> ArtifactRef:
            name = os.path.basename(os.fspath(path))
            return self._artifacts.put_file(path, f"{artifact_path}/{name}" if artifact_path else name, step=step)

        return self._keep(path, put)

    def log_artifacts(
        self,
        dir: str | os.PathLike[str],  # noqa: A002 - the public name of api.md
        artifact_path: str | None = None,
        *,
        step: int | None = None,
    ) -> list[ArtifactRef]:
        """Keep a copy of every regular file below a directory, under its relative name.

        Links out of the directory, FIFOs, sockets and devices are skipped and counted.
        """
        try:
            return self._artifacts.put_tree(dir, artifact_path, step=step)
        except Exception as error:  # whatever a file system does must not reach the training
            self._troubles.report(error, key=dir if isinstance(dir, str) else None)
            return []

    def log_text(self, text: str, file: str, *, step: int | None = None) -> ArtifactRef:
        """Keep text, UTF-8."""
        return self._keep(
            file, lambda: self._artifacts.put_bytes(text.encode("utf-8", "surrogateescape"), file, step=step)
        )

    def log_dict(self, d: Mapping[str, Any] | list[Any], file: str, *, step: int | None = None) -> ArtifactRef:
        """Keep a mapping or list as JSON (or YAML, by the extension)."""
        return self._keep(file, lambda: self._put_rendered("json", d, file, step))

    def log_figure(self, fig: Any, file: str, *, step: int | None = None) -> ArtifactRef:
        """Keep a matplotlib or plotly figure as a picture, format by the extension."""
        return self._keep(file, lambda: self._put_rendered("figure", fig, file, step))

    def log_image(self, img: Any, file: str, *, step: int | None = None) -> ArtifactRef:
        """Keep a PIL image or an array of shape (h, w), (h, w, 3) or (h, w, 4)."""
        return self._keep(file, lambda: self._put_rendered("image", img, file, step))

    def log_table(self, table: Any, file: str, *, step: int | None = None) -> ArtifactRef:
        """Keep a frame, a list of dicts or a dict of lists as CSV, JSON or Parquet, by the extension."""
        return self._keep(file, lambda: self._put_rendered("table", table, file, step))

    def log_model(
        self,
        model: Any,
        name: str = "model",
        *,
        input_example: Any = None,
        metadata: Mapping[str, Any] | None = None,
        format: str = "auto",  # noqa: A002 - the word for it
    ) -> ArtifactRef:
        """Serialise a model and keep it, with its signature and the versions of its packages.

        Parameters
        ----------
        model : object
            Serialised before this returns: it may be refitted afterwards.
        name : str
            Directory in the run's artifacts.
        input_example : array or frame, optional
            A few rows the model takes; the signature is read from it and from what the model predicts for it.
        metadata : mapping, optional
            Kept beside it.
        format : {"auto", "joblib", "skops", "xgboost", "lightgbm", "catboost", "torch"}
            "auto": the library's own format for boosters of XGBoost, LightGBM and CatBoost, the state dict of a PyTorch
            module, joblib for everything else.

        Returns
        -------
        ArtifactRef
            Of the serialised model; `RunView.load_model` loads it.

        Notes
        -----
        A model that cannot be kept in the format asked for is kept with joblib, and that is counted.
        """
        return self._keep(name, lambda: self._put_model(model, name, input_example, metadata, format))

    def _put_rendered(self, kind: str, value: Any, file: str, step: int | None) -> ArtifactRef:
        """Loaded here, where what goes wrong is counted: a process may have no descriptor left to read a module with."""
        from mlops_sdk.values import media

        render: Callable[[Any, str], bytes] = getattr(media, f"render_{kind}")
        return self._artifacts.put_bytes(render(value, file), file, step=step)

    def _put_model(
        self, model: Any, name: str, input_example: Any, extra: Mapping[str, Any] | None, wanted: str
    ) -> ArtifactRef:
        from mlops_sdk.models.formats import JOBLIB, chosen
        from mlops_sdk.run import models
        from mlops_sdk.values.media import render_json

        refused: Exception | None = None
        kept_in = JOBLIB
        try:
            kept_in = chosen(model, wanted)
            data, details = kept_in.dump(model)
        except Exception as error:
            if kept_in is JOBLIB and wanted in ("auto", JOBLIB.name):
                raise
            refused, kept_in = error, JOBLIB
            data, details = JOBLIB.dump(model)
        described = models.describe(model, kept_in, details, input_example, dict(extra) if extra else None)
        ref = self._artifacts.put_bytes(data, f"{name}/{kept_in.file}", metadata=described)
        about = {**described, "sha256": ref.sha256, "size_bytes": ref.size_bytes}
        self._artifacts.put_bytes(render_json(about, "model.json"), f"{name}/model.json")
        if refused is not None:
            self._troubles.report(refused, key=text_of(name))
        return ref

    def artifact_path(self, name: str) -> Path:
        """A path to write a file (or directory) to, which becomes the artifact `name` when the run ends.

        Raises
        ------
        InvalidValueError
            If the name cannot be the name of a file.
        """
        return self._artifacts.promise(name)

    def _keep(self, name: object, put: Callable[[], ArtifactRef]) -> ArtifactRef:
        try:
            return put()
        except Exception as error:  # user objects render themselves here: anything may come out
            self._troubles.report(error, key=text_of(name))
            return ArtifactRef(text_of(name), error=words_of(error))
