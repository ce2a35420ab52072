"""A store on a server: the store protocol over HTTP.

References
----------
.. [1] ``docs/adr/0009-remote.md``, ``docs/guides/remote.md``
"""
