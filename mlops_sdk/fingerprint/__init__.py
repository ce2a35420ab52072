"""Identity of data: digests of a canonical form, sketches that say what changed, a profile.

The package is the function too: ``mlops_sdk.fingerprint(data)``; `making.fingerprint` is where it is written.
`streaming.Fingerprinter` sees a table block by block, `tables` finds the table in what is given.

References
----------
.. [1] ``docs/fingerprint-spec.md``
.. [2] ``docs/adr/0005-fingerprints.md``
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """The package, which can be called: importing a submodule binds `mlops_sdk.fingerprint` to it in any case."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """See `mlops_sdk.fingerprint.making.fingerprint`."""
        from mlops_sdk.fingerprint.making import fingerprint

        return fingerprint(*args, **options)

    @property
    def __signature__(self) -> Any:
        import inspect

        from mlops_sdk.fingerprint.making import fingerprint

        return inspect.signature(fingerprint)


sys.modules[__name__].__class__ = _CallablePackage
