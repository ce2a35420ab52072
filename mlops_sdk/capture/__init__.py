"""What is noted down around a run without being asked: code, packages, machine, output, and why it failed.

Each module captures one thing and returns plain JSON-able values. None of them knows what a run is, raises into its
caller, runs a shell, waits without a bound for another program, or changes what it looks at. What could not be had is
named, with the reason, under ``"errors"``. Text passes `mlops_sdk.capture.redact` before it leaves.

Import from the module that defines a name.
"""
