"""The page of the wire protocol has every route with its role, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from mlops_sdk.server.guard import ROLES
from mlops_sdk.stores.http.faults import STATUS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "wire-protocol.md").read_text(encoding="utf-8")


def test_every_route_with_its_role() -> None:
    rows = re.findall(r"(?m)^\| `([A-Z]+) (/\S*)` \| (\w+) \|", PAGE)
    assert {(method, path): role for method, path, role in rows} == ROLES


def test_every_error() -> None:
    errors = PAGE.partition("## Errors")[2]
    for code, status in STATUS.items():
        row = next(line for line in errors.splitlines() if f"`{code}`" in line)
        assert str(status) in row.split("|")[1]
