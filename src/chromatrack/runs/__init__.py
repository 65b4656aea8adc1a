"""A run's folder: written, read back, corrected.

Enters: tracked frames, one by one, or a folder that an earlier run wrote. Leaves: masks, tables,
overlay and result.json, each whole or not there.
Read `writer.py` first, then `reader.py`.
"""
