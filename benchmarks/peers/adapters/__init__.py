"""One file per system: what the workloads need, in the system's own words and with its defaults."""
