"""Benchmarks: every figure beside a yardstick measured in the same run; `python -m benchmarks`."""
