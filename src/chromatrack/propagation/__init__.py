"""Label maps carried from frame to frame, in cells.

Enters: feature maps, and label maps where something is marked. Leaves: one soft label map per
frame, what is lost or found again, and how far to trust it. Knows neither files nor networks.
Read `propagate.py` first, then `memory_bank.py`.
"""
