"""pandas, where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import MissingDependencyError

if TYPE_CHECKING:
    import pandas as pd


def pandas_frame(data: Any, **options: Any) -> pd.DataFrame:
    """A pandas frame, as `pandas.DataFrame` makes it.

    Raises
    ------
    MissingDependencyError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingDependencyError("pandas", extra="pandas", purpose="to_pandas()") from error
    return pd.DataFrame(data, **options)
