"""Identity of data: digests of a canonical form, sketches that say what changed, a profile.

`streaming.Fingerprinter` sees a table block by block; `table.fingerprint` finds the table in what it is given.

References
----------
.. [1] ``docs/fingerprint-spec.md``
.. [2] ``docs/adr/0005-fingerprints.md``
"""
