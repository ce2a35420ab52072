"""Artifact bytes on a local disk, kept under their SHA-256; artifact names never become paths here.

Import from the module that defines a name: `local` (the store), `tree` (directories to log), `names` (what artifacts
are called, and where a download may land), `progress`, `media`.
"""
