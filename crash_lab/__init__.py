"""The crash lab: what we guarantee, tried a stated number of times, with the number of failures.

``python -m crash_lab`` runs every harness with its full number of trials, ``--short`` with few and a fixed seed. Each
prints one line: name, trials, violations, the bound that so many trials without a failure give (3/N, 95 %), seed, seconds.
What the machine does not allow is skipped with the reason.
"""
