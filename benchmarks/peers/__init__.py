"""Other trackers beside ours, in one run: `python -m benchmarks.peers`, `make bench-peers`.

What runs in this process: the plan, the environments, the report. What is measured runs in a fresh process of the system's
own virtual environment, which has nothing of ours but `benchmarks.peers.inside` and the adapter: docs/adr/0017.
"""
