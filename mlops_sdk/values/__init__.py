"""Values as users hand them over, turned into what is stored: params, metric values, pictures, tables, JSON.

Import from the module that defines a name: `params`, `metrics`, `media` and `tables` are what the run's methods use;
below them `plain` (any object as JSON-able data), `expanding` (objects that are mappings in disguise), `nested`
(flattening within bounds), `describing` (any object as text), `foreign` (third-party objects, recognised without an
import), `extensions` (of artifact names), `directions` (which metrics are better when greater).
"""
