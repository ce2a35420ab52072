"""Shows the laboratory's figures at the end of a session, whichever worker process they come from."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the line of every harness that ran."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    properties = [each for report in reports for each in getattr(report, "user_properties", [])]
    lines = sorted({str(text) for name, text in properties if name == "crash lab"})
    if lines:
        terminalreporter.section("crash lab")
        for line in lines:
            terminalreporter.write_line(line)
