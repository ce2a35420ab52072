"""n, mean, standard deviation and interval of each group, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from mlops_sdk.comparison.report import group_rows, groups_block, plain_lines
from mlops_sdk.comparison.verdict import GroupSummary
from mlops_sdk.values.frames import pandas_frame

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


class GroupTable(Sequence[GroupSummary]):
    """Rows of groups, as `RunGroups.table` makes them.

    Parameters
    ----------
    rows : sequence of GroupSummary
    """

    def __init__(self, rows: Sequence[GroupSummary]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> GroupSummary: ...
    @overload
    def __getitem__(self, index: slice) -> GroupTable: ...
    def __getitem__(self, index: int | slice) -> GroupSummary | GroupTable:
        return GroupTable(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __iter__(self) -> Iterator[GroupSummary]:
        return iter(self._rows)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dict a row: ``group metric n n_missing mean std low high level``."""
        return group_rows(self._rows)

    def to_pandas(self) -> pd.DataFrame:
        """The same as a pandas frame with index ``group``.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        columns = ["group", "metric", "n", "n_missing", "mean", "std", "low", "high", "level"]
        return pandas_frame(self.to_dicts(), columns=columns).set_index("group")

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Means with their intervals and the runs behind them; returns the Axes."""
        from mlops_sdk.comparison.drawing import draw_groups

        return draw_groups(self._rows, ax=ax)

    def __str__(self) -> str:
        return "\n".join(plain_lines([groups_block(self._rows)], 120))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Static HTML for notebooks, every stored text escaped."""
        from mlops_sdk.comparison.pages import groups_page

        return groups_page(self._rows)
