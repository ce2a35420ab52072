"""Files of a run: into the blob store first, then named in the journal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sdk.blobs.durable import make_directories
from mlops_sdk.blobs.media import guess_media_type
from mlops_sdk.blobs.names import check_artifact_name, safe_target
from mlops_sdk.blobs.progress import transfer_progress
from mlops_sdk.entities import ArtifactRef
from mlops_sdk.errors import InvalidValueError, MlopsError
from mlops_sdk.journal.records import Kind
from mlops_sdk.stores.location import state_directory

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.blobs.local import Blob
    from mlops_sdk.blobs.tree import TreeEntry
    from mlops_sdk.run.trouble import Troubles
    from mlops_sdk.stores.protocol import Blobs


@dataclass(slots=True)
class _Pending:
    """Bytes that could not be kept yet."""

    name: str
    file: Path
    step: int | None
    metadata: JsonDict


class Artifacts:
    """Keeps files of one run.

    Parameters
    ----------
    blobs : callable
        Returns the store's blobs.
    emit : callable
        Takes (kind, payload) of a record.
    troubles : Troubles
    run_id : str

    Notes
    -----
    When a method returns, the bytes are durable in the store; when that failed, a falsy reference tells why, the bytes are
    in a fallback directory that the warning names, and `retry` tries again.
    """

    def __init__(
        self, blobs: Callable[[], Blobs], emit: Callable[[Kind, JsonDict], None], troubles: Troubles, run_id: str
    ) -> None:
        self._blobs = blobs
        self._emit = emit
        self._troubles = troubles
        self._run_id = run_id
        self._versions: dict[str, int] = {}
        self._pending: list[_Pending] = []
        self._promised: dict[str, Path] = {}
        self._staging: Path | None = None

    def put_file(
        self, path: str | os.PathLike[str], name: str, *, step: int | None = None, metadata: JsonDict | None = None
    ) -> ArtifactRef:
        """Keep a copy of a file under `name`."""
        return self._put(name, step, metadata or {}, lambda: self._copy(Path(path)), Path(path))

    def _copy(self, path: Path) -> Blob:
        with transfer_progress(path.stat().st_size if path.is_file() else 0, path.name) as progress:
            return self._blobs().put_file(path, progress=progress)

    def put_bytes(
        self, data: bytes, name: str, *, step: int | None = None, metadata: JsonDict | None = None
    ) -> ArtifactRef:
        """Keep bytes under `name`."""
        return self._put(name, step, metadata or {}, lambda: self._blobs().put_bytes(data), data)

    def put_tree(self, root: str | os.PathLike[str], prefix: str | None, *, step: int | None) -> list[ArtifactRef]:
        """Keep every regular file below a directory under its relative name; what is skipped is counted."""
        from mlops_sdk.blobs.tree import Skipped, walk_tree

        refs = []
        for entry in walk_tree(root):
            if isinstance(entry, Skipped):
                self._troubles.count("SkippedFile", f"{entry.name}: {entry.reason}")
                continue
            name = f"{prefix}/{entry.name}" if prefix else entry.name
            refs.append(self._put(name, step, {}, partial(_put_entry, self._blobs(), entry), None))
        return refs

    def _put(
        self, name: str, step: int | None, metadata: JsonDict, put: Callable[[], Blob], source: Path | bytes | None
    ) -> ArtifactRef:
        try:
            name = check_artifact_name(name)
        except MlopsError as error:
            self._troubles.report(error)
            return ArtifactRef(str(name), error=str(error))
        try:
            blob = put()
        except (MlopsError, OSError) as error:
            return self._keep_aside(name, step, metadata, source, error)
        return self._name(name, blob.sha256, blob.size_bytes, step, metadata)

    def _name(self, name: str, sha256: str, size_bytes: int, step: int | None, metadata: JsonDict) -> ArtifactRef:
        version = self._versions[name] = self._versions.get(name, 0) + 1
        kind = guess_media_type(name)
        ref = ArtifactRef(name, sha256, size_bytes, kind, version, step, None, metadata)
        payload: JsonDict = {"path": name, "sha256": sha256, "size_bytes": size_bytes, "media_type": kind}
        self._emit(Kind.ARTIFACT, {**payload, "step": step, "metadata": metadata})
        return ref

    def _keep_aside(
        self, name: str, step: int | None, metadata: JsonDict, source: Path | bytes | None, error: Exception
    ) -> ArtifactRef:
        kept = None if isinstance(error, InvalidValueError) else self._fall_back(source)
        where = f"; its bytes are in {kept} and are tried again at finish()" if kept else ""
        if kept:
            self._pending.append(_Pending(name, kept, step, metadata))
        self._troubles.report(MlopsError(f"artifact {name!r} could not be kept: {error}{where}"), key=name)
        return ArtifactRef(name, step=step, error=str(error))

    def _fall_back(self, source: Path | bytes | None) -> Path | None:
        """A copy of the bytes in a place that has nothing to do with the store."""
        import shutil
        import tempfile

        if source is None:
            return None
        for base in (state_directory() / "fallback", Path(tempfile.gettempdir())):
            with contextlib.suppress(OSError), contextlib.ExitStack() as undo:
                make_directories(base)
                fd, name = tempfile.mkstemp(prefix="mlops-", dir=base)
                undo.callback(os.unlink, name)
                with os.fdopen(fd, "wb") as target:
                    if isinstance(source, bytes):
                        target.write(source)
                    else:
                        with open(source, "rb") as stream:
                            shutil.copyfileobj(stream, target)
                undo.pop_all()
                return Path(name)
        return None

    @property
    def has_pending(self) -> bool:
        """Whether something could not be kept yet."""
        return bool(self._pending)

    def retry(self) -> None:
        """Try again what could not be kept."""
        pending, self._pending = self._pending, []
        for item in pending:
            try:
                blob = self._blobs().put_file(item.file)
            except (MlopsError, OSError):
                self._pending.append(item)
                continue
            self._name(item.name, blob.sha256, blob.size_bytes, item.step, item.metadata)
            with contextlib.suppress(OSError):
                item.file.unlink()

    def promise(self, name: str) -> Path:
        """A path to write a file to, which `keep_promised` keeps under `name`."""
        import tempfile

        name = check_artifact_name(name)
        if self._staging is None:
            self._staging = Path(tempfile.mkdtemp(prefix="mlops-staging-"))
        path = safe_target(self._staging, name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._promised[name] = path
        return path

    def keep_promised(self) -> None:
        """Keep the files that were written to promised paths."""
        promised, self._promised = self._promised, {}
        for name, path in promised.items():
            if path.is_dir():
                self.put_tree(path, name, step=None)
            elif path.exists():
                self.put_file(path, name)
            else:
                self._troubles.count("PromisedFileMissing", f"artifact_path({name!r}): no file was written to it")
        if self._staging is not None:
            import shutil

            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None


def _put_entry(blobs: Blobs, entry: TreeEntry) -> Blob:
    with entry.open() as stream, transfer_progress(entry.size_bytes, entry.name) as progress:
        return blobs.put_open(stream, progress=progress)
