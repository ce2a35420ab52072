"""The command line, ``mlops``: a thin skin over the library.

One file per group of commands. Only this package imports click and rich, and a command imports what it needs when it
runs, so that ``mlops --help`` and shell completion answer at once.
"""

from mlops_sdk.cli.program import main

__all__ = ["main"]
