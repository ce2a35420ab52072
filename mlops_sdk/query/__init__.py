"""Reading: `RunView` is one run, `Runs` a sequence of them, `search` finds them."""
