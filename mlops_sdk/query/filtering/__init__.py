"""The filter language: text to a tree of conditions.

`lexemes` takes the text apart, with keys as one piece each; sqlglot finds the shape of what they make; `grammar` allows a
few of its nodes; `meaning` makes conditions of fields and values; `names` knows the fields, `unknown` the keys of a store.

References
----------
.. [1] ``docs/adr/0006-filter-language.md``
"""
