"""The tracking server: any store over HTTP. Needs the extra ``mlops_sdk[server]``.

References
----------
.. [1] ``docs/adr/0009-remote.md``, ``docs/guides/remote.md``
"""
