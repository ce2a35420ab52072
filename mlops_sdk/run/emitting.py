"""What the logging methods of a run stand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlops_sdk.errors import RunFinishedError
from mlops_sdk.journal.records import Kind
from mlops_sdk.journal.writer import JournalAbandonedError, JournalClosedError

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.run.recorder import Recorder
    from mlops_sdk.run.trouble import Troubles


class Emitting:
    """A way into the journal that never raises into the training."""

    _recorder: Recorder
    _troubles: Troubles
    _run_id: str
    _is_over: bool

    def _reattach(self) -> None:
        """In a forked child: open a journal of its own."""
        raise NotImplementedError

    def _emit(self, kind: Kind, payload: JsonDict) -> None:
        """Log a framed record, attaching first in a forked child.

        Raises
        ------
        RunFinishedError
            If the run is over, whether or not its journal is still open for what the capture brings late.
        """
        if self._is_over:
            raise RunFinishedError(self._run_id)
        self._emit_late(kind, payload)

    def _emit_late(self, kind: Kind, payload: JsonDict) -> None:
        """As `_emit`, for as long as the journal is open: what the capture found may come after the end."""
        try:
            self._recorder.journal.event(kind, payload)
        except JournalAbandonedError:
            self._reattach()
            self._recorder.journal.event(kind, payload)

    def _guard(self, key: str | None, action: Callable[[], object]) -> None:
        """Run `action`; what it raises is counted, or raised when the run is strict."""
        try:
            action()
        except JournalClosedError:
            self._refuse()
        except Exception as error:
            self._troubles.report(error, key=key)

    def _refuse(self) -> None:
        self._troubles.report(RunFinishedError(self._run_id))
