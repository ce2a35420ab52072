"""G13 and G14: numbers bit for bit, names unchanged, from a run to another process."""

from __future__ import annotations

import json
import random
import struct
import sys
import unicodedata
from pathlib import Path

import numpy as np

import mlops_sdk
from tests.guarantees import processes
from tests.guarantees.every_call import QUIET

_READ = """
import json, sys, mlops_sdk
run = mlops_sdk.get_run("r", tracking_uri=sys.argv[1])
for key in ("x", "y"):
    series = run.metric(key)
    print(series.value.view("u8").tolist() if key == "x" else series.step.tolist())
print(json.dumps({key: [type(v).__name__, repr(v) if not isinstance(v, int) else hex(v)] for key, v in run.params.items()}))
"""
_NAMES = """
import json, sys, mlops_sdk
run = mlops_sdk.get_run("r", tracking_uri=sys.argv[1])
found = {"metrics": dict(run.metrics), "params": dict(run.params), "tags": dict(run.tags),
         "artifacts": {ref.path: run.artifact(ref.path).read_text() for ref in run.artifacts}}
print(json.dumps(found))
"""


def _bits(rng: random.Random) -> list[int]:
    """Every pattern of the upper 16 bits with random lower ones, and the corners."""
    corners = [0, 1 << 63, 1, (1 << 52) - 1, 1 << 52, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000]
    nans = [0x7FF8000000000000, 0x7FF8DEADBEEF0001, 0xFFFFFFFFFFFFFFFF, 0x7FF0000000000001]
    return [*corners, *nans, *(high << 48 | rng.getrandbits(48) for high in range(0, 65_536, 7))]


def _is_signalling(bits: int) -> bool:
    return bits & 0x7FF8000000000000 == 0x7FF0000000000000 and bits & 0x000FFFFFFFFFFFFF != 0


def test_every_kind_of_float_step_and_integer_comes_back(tmp_path: Path) -> None:
    rng = random.Random(13)
    bits = [pattern for pattern in _bits(rng) if not _is_signalling(pattern)]
    steps = [0, -1, 2**63 - 1, -(2**63), *(rng.getrandbits(64) - 2**63 for _ in range(500))]
    whole = [0, 1, -1, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**40, -(10**4000)]
    whole += [rng.getrandbits(rng.randrange(1, 200)) * rng.choice((1, -1)) for _ in range(200)]
    params: dict[str, object] = {f"i{number}": value for number, value in enumerate(whole)}
    floats = [struct.unpack("<d", pattern.to_bytes(8, "little"))[0] for pattern in bits]
    params |= {f"f{number}": value for number, value in enumerate(floats[:400])}
    params |= {"true": True, "none": None, "text": "1", "list": [1, 2.5, None, "a"]}
    with mlops_sdk.start_run(tracking_uri=tmp_path, run_id="r", params=params, **QUIET) as run:
        for number, value in enumerate(floats):
            run.log_metric("x", value, step=number)
        for step in steps:
            run.log_metric("y", 1.0, step=step)
    assert run.health()["errors"] == {}
    done = processes.run(_READ, tmp_path)
    assert done.returncode == 0, done.stderr
    x, y, found = done.stdout.splitlines()
    read_bits, read_steps, read = json.loads(x), json.loads(y), json.loads(found)
    assert read_bits == bits
    assert read_steps == sorted(steps)
    for key, value in params.items():
        shown = hex(value) if isinstance(value, int) else repr(value)
        assert read[key] == [type(value).__name__, shown], key
    print(f"G13: {len(bits)} floats, {len(steps)} steps, {len(params)} params through another process, 0 mismatches")


def test_signalling_nans_stay_nans(tmp_path: Path) -> None:
    """Some machines make them quiet on the way into a register: NaN they stay."""
    values = np.array([0x7FF0000000000001, 0xFFF0000000000002], "u8").view("f8")
    with mlops_sdk.start_run(tracking_uri=tmp_path, **QUIET) as run:
        for value in values.tolist():
            run.log_metric("x", value)
    assert np.isnan(run.metric("x").value).all()


def _names(rng: random.Random, count: int) -> list[str]:
    """One character of every stretch of 256, so of every Unicode block; twins; lengths from 1 to 1,024 bytes."""
    characters = [
        chr(start + offset)
        for start in range(0, sys.maxunicode + 1, 256)
        for offset in rng.sample(range(256), 1)
        if not 0xD800 <= start + offset <= 0xDFFF and start + offset > 0
    ]
    twins = [form for text in ("é", "Å", "한", "ﬁ", "ｅ") for form in
             (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))]  # fmt: skip
    ugly = [".", "..", "/", "//", "\\", "a/../b", "%2e%2e%2f", "\u202etxt", "CON", "aux.txt ", "a ", " a", "a.", "\n",
            "\x1b[31m", "'; DROP TABLE runs; --", "\u200b", "．．／", "😀", "\u2028", "\ufeff", "\uffff", "=1+1", "`a`",
            "metrics.acc.max"]  # fmt: skip
    lengths = ["x" * n for n in (1, 2, 255, 256, 1_023, 1_024)] + ["é" * 512, "😀" * 256, "漢" * 341]
    found = [*characters, *twins, *ugly, *lengths]
    while len(found) < count:
        found.append("".join(rng.choices(characters, k=rng.randrange(1, 60))))
    return list(dict.fromkeys(name for name in found if len(name.encode()) <= 1_024))


def test_every_name_comes_back_unchanged(tmp_path: Path) -> None:
    names = _names(random.Random(14), 4_800)
    with mlops_sdk.start_run(tracking_uri=tmp_path, run_id="r", **QUIET) as run:
        run.log_metrics({name: float(number) for number, name in enumerate(names) if "/" not in name}, step=0)
        for number, name in enumerate(names):
            if "/" in name:
                run.log_metric(name, float(number), step=0)
            run.set_tag(name, name)
        for number, name in enumerate(names[::10]):
            run.log_param(name, number)
        artifacts = names[:: len(names) // 60]
        for name in artifacts:
            run.log_text(name, name)
        assert run.health()["errors"] == {}
    done = processes.run(_NAMES, tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["metrics"] == {name: float(number) for number, name in enumerate(names)}
    assert found["tags"] == {name: name for name in names}
    assert found["params"] == {name: number for number, name in enumerate(names[::10])}
    assert found["artifacts"] == {name: name for name in artifacts}
    print(f"G14: {len(names)} names of metrics and tags, {len(names[::10])} of params, 0 mismatches")
