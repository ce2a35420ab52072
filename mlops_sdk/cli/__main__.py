"""``python -m mlops_sdk.cli``: the command line where the script ``mlops`` is not on the path."""

from mlops_sdk.cli.program import main

main()
