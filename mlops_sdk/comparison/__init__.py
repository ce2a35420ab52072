"""What differs between runs, and whether the difference is more than noise.

`comparison` is what a user holds. It is made of `subject` (a run or a group as plain data: this package knows no store),
`sections`, `metrics` and `code` (what differs), `ranking` (what to read first), `verdict` (which test fits, and what it
says), `statistics` (the tests). `report` and `pages` show it.
"""
