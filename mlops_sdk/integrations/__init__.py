"""What ties runs to other programs: notebooks, frameworks. Loaded by name when first used, imported by nobody."""
