"""Pictures of runs. Every function returns the matplotlib Axes it drew on; matplotlib is loaded when the first is drawn.

One picture has one y axis, a colour per run or group, and its legend outside. Nothing touches pyplot, so that no window
system is needed and no figure is kept alive; in a notebook the Axes shows itself where it is the last value of a cell.
"""
