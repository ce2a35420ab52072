"""A run being recorded.

`run` is what users hold (`metrics`, `params`, `files` are its methods by kind), `recorder` its way into the journal, `start` begins and attaches, `endings` sees how the process
ends, `active` knows which run is meant, `trouble` counts what goes wrong, `artifacts` and `models` keep files,
`background` captures what is around the run.
"""
