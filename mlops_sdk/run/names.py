"""Ids and names for runs that were given none."""

from __future__ import annotations

import os
import time
import zlib

from mlops_sdk.errors import InvalidValueError

MAX_ID_BYTES = 128

_ADJECTIVES = (
    "able", "amber", "ample", "azure", "bold", "brave", "brief", "bright", "brisk", "calm", "clear", "clever", "cool",
    "coral", "crisp", "curious", "deft", "eager", "early", "even", "exact", "fair", "fine", "firm", "fleet", "fresh",
    "gentle", "glad", "golden", "grand", "green", "happy", "honest", "ivory", "jolly", "keen", "kind", "lively",
    "lucid", "lucky", "mellow", "merry", "mild", "neat", "noble", "olive", "patient", "plain", "proud", "quick",
    "quiet", "rapid", "ready", "royal", "sage", "sharp", "silver", "simple", "smart", "smooth", "solid", "steady",
    "still", "sunny", "swift", "teal", "tidy", "true", "vivid", "warm", "wise", "witty", "young",
)  # fmt: skip
_NOUNS = (
    "acorn", "alder", "antler", "arbor", "aspen", "badger", "bay", "beacon", "birch", "bison", "brook", "canyon",
    "cedar", "cliff", "clover", "comet", "coral", "cove", "crane", "creek", "delta", "dune", "eagle", "elm", "falcon",
    "fern", "finch", "fjord", "forest", "fox", "gale", "glade", "grove", "harbor", "hawk", "hazel", "heron", "hill",
    "ibis", "iris", "island", "kestrel", "lagoon", "lake", "lark", "laurel", "lynx", "maple", "marsh", "meadow",
    "mesa", "moss", "oak", "orchid", "osprey", "otter", "owl", "pine", "pond", "prairie", "quail", "raven", "reef",
    "ridge", "river", "robin", "sparrow", "spruce", "summit", "swan", "thicket", "tide", "trail", "vale", "willow",
    "wren",
)  # fmt: skip


def new_run_id() -> str:
    """A UUID version 7 (RFC 9562): sorts by time, its last characters are random."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF000 << 64) | 0x7000 << 64
    value = value & ~(0xC000 << 48) | 0x8000 << 48
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def name_for(run_id: str) -> str:
    """A name that is easy to say, always the same for an id."""
    number = zlib.crc32(run_id.encode("utf-8", "surrogatepass"))
    adjective = _ADJECTIVES[number % len(_ADJECTIVES)]
    noun = _NOUNS[number // len(_ADJECTIVES) % len(_NOUNS)]
    return f"{adjective}-{noun}-{number % 97}"


def check_run_id(run_id: object) -> str:
    """A run id as it was given.

    Raises
    ------
    InvalidValueError
        Unless it is text of 1 to 128 bytes without NUL or lone surrogates.
    """
    if not isinstance(run_id, str):
        raise InvalidValueError(f"run_id is a {type(run_id).__name__}; give text")
    try:
        size = len(run_id.encode())
    except UnicodeEncodeError as error:
        raise InvalidValueError(f"run_id {run_id!r} holds half of a surrogate pair") from error
    if not 1 <= size <= MAX_ID_BYTES or "\0" in run_id:
        raise InvalidValueError(f"run_id {run_id!r} must have 1 to {MAX_ID_BYTES} bytes and no NUL")
    return run_id
