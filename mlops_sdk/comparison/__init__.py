"""What differs between runs, and whether the difference is more than noise.

`comparison` is what a user holds. It is made of `subject` (a run or a group as plain data: this package knows no store),
`sections`, `metrics` and `code` (what differs), `ranking` (what to read first), `verdict` (which test fits, and what it
says; `pairing` finds which runs belong together), `statistics` and `paired` (the tests). `report`, `pages` and `drawing`
show it. The function is `mlops_sdk.compare`: a package of that name would stand in its place.
"""
