"""Whole runs from one store to another, directly or through a file.

`identity` says what a run is, in a count and a hash that do not depend on the store; `rebuild` makes the records of it;
`copying` brings them to another store and compares; `archive` is the file.

References
----------
.. [1] ``docs/adr/0015-moving-runs.md``
"""
