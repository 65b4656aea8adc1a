"""The user's terms: marks, pixels and ids; `Tracker`, `Session`, `colorize`.

Enters: a video and marks on some of its frames. Leaves: tracked or coloured frames at full size,
under the user's ids.
Read `tracker.py` first.
"""
