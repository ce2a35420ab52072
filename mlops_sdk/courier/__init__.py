"""The courier: carries journal records to stores, exactly once, in the background.

`route` is one journal's way to its sinks, `courier` the thread that walks the routes, `recovery` the delivery of what
dead writers left.
"""
