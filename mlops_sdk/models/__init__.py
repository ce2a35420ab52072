"""Models as files: the formats they are kept in, the signature of what they take, and the check of it at `predict`."""
