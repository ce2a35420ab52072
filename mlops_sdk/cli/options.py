"""What the commands have in common: their options, their examples, the store they work on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from mlops_sdk.query.view import RunView
    from mlops_sdk.stores.opening import Place
    from mlops_sdk.stores.sqlite.store import SQLiteStore

F = TypeVar("F", bound=Callable[..., Any])


def command(name: str, *examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of that name whose help ends with the examples."""
    return click.command(name, epilog=example_text(*examples))


def example_text(*examples: str) -> str:
    """The end of a command's help."""
    # \b: click leaves these lines as they are
    return "\b\nExample:\n" + "\n".join(f"  {example}" for example in examples)


def store_option(function: F) -> F:
    """``--store``, handed on as `store`."""
    return click.option(
        "--store",
        metavar="PATH|URI",
        help="The store; without it MLOPS_TRACKING_URI, or the nearest .mlops directory upwards.",
    )(function)


def json_option(function: F) -> F:
    """``--json``, handed on as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="For programs: JSON, exact to the last digit.")(
        function
    )


def find_place(store: str | None) -> Place | None:
    """The store that a command means; None where nothing was named and there is none yet.

    Raises
    ------
    StoreUnavailableError
        If one was named, and is not there.
    """
    from mlops_sdk import config
    from mlops_sdk.errors import StoreUnavailableError
    from mlops_sdk.stores.opening import is_made, locate, open_place

    uri = config.resolve(tracking_uri=store).tracking_uri
    location = locate(uri)
    if location is None or is_made(location):
        return open_place(uri)
    if location.is_explicit:
        raise StoreUnavailableError(f"there is no store at {location.path}: `mlops init {location.path}` makes one")
    return None


def need_place(store: str | None) -> Place:
    """The store that a command means.

    Raises
    ------
    StoreUnavailableError
        If there is none.
    """
    from mlops_sdk.errors import StoreUnavailableError

    place = find_place(store)
    if place is None:
        raise StoreUnavailableError(HOW_TO_START)
    return place


def need_local(store: str | None) -> tuple[Place, SQLiteStore]:
    """The store that a command means, which is one on this machine.

    Raises
    ------
    StoreUnavailableError
        If there is none.
    InvalidValueError
        If it is of another kind.
    """
    from mlops_sdk.errors import InvalidValueError
    from mlops_sdk.stores.sqlite.store import SQLiteStore

    place = need_place(store)
    if not isinstance(place.store, SQLiteStore):
        raise InvalidValueError(f"{place.store.uri} is no store on this machine: this command works on those only")
    return place, place.store


HOW_TO_START = "there is no store here yet: the first run makes one, and so does `mlops init`"


def find_run(store: str | None, run: str) -> tuple[Place, RunView]:
    """The run that a command means: a full id, the beginning or end of one, a name, or @1 for the latest.

    Raises
    ------
    RunNotFoundError, AmbiguousRunError, StoreUnavailableError
    """
    from mlops_sdk.query.search import resolve

    place = need_place(store)
    return place, resolve(place, run)
