"""The Python that runs, the packages it finds, and the state of its random generators."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
import sysconfig
from typing import Any

from mlops_sdk.capture.record import Record
from mlops_sdk.capture.redact import redact_text

_SEPARATORS = re.compile(r"[-_.]+")


def capture_environment() -> dict[str, Any]:
    """Interpreter and installed packages.

    Returns
    -------
    dict
        ``python`` (version, "3.11.4"), ``implementation`` ("cpython"), ``executable`` (path), ``platform``
        ("linux-x86_64"), ``packages`` (sorted list of "name==version", names normalised [1]_, of two installed versions
        the one that an import finds) and ``digest``: SHA-256 of the packages as canonical JSON, lower-case hex, so that a
        store keeps each distinct set once. ``errors`` (reasons as text) only where something failed.

    Notes
    -----
    Never raises. Reads the metadata of every installed package: some milliseconds for each hundred.

    References
    ----------
    .. [1] PEP 503, "Normalized Names"
    """
    record = Record()
    record.add("python", platform.python_version)
    record.add("implementation", lambda: sys.implementation.name)
    record.add("executable", lambda: redact_text(sys.executable or ""))
    record.add("platform", sysconfig.get_platform)
    packages = record.take("packages", lambda: _packages(record))
    if packages is not None:
        record.update("packages", lambda: {"packages": packages, "digest": _digest(packages)})
    return record.to_dict()


def _packages(record: Record) -> list[str]:
    from importlib import metadata

    versions: dict[str, str] = {}
    for distribution in metadata.distributions():
        named = record.take("package", lambda distribution=distribution: _name_and_version(distribution))  # type: ignore[misc]
        if named is not None:
            versions.setdefault(*named)  # in the order of sys.path: the first is the one that is imported
    return sorted(f"{name}=={version}" for name, version in versions.items())


def _name_and_version(distribution: Any) -> tuple[str, str]:
    fields = distribution.metadata
    name, version = fields["Name"], fields["Version"]
    if not name or not version:
        raise ValueError(f"{getattr(distribution, '_path', 'a package')} has no name or no version in its metadata")
    return _SEPARATORS.sub("-", str(name)).lower(), str(version)


def _digest(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
