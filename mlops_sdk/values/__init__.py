"""Values as users hand them over, turned into what is stored: params, metric values, pictures and tables.

Import from the module that defines a name: `params`, `metrics`, `media` (what the run's methods use), `tables`; below
them `plain` (any object as JSON-able data), `expanding` (objects that are mappings in disguise), `nested` (flattening
within bounds), `describing` (any object as text), `foreign` (third-party objects, recognised without an import).
"""
