"""The journal: one append-only run of segments per writer, which survives the death of the process.

`records` is the format, `segment` one file of it, `writer` the logging side, `reader` the recovering side, `liveness`
tells whether a writer still lives, `filesystem` whether its directory may be mapped into memory.
"""
