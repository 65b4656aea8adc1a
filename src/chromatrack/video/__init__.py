"""Frames in, frames out, through PyAV, one at a time.

Enters: the path of a video, a folder or glob of pictures. Leaves: RGB frames with their times, and
files that are there whole or not at all. Knows no torch.
Read `reader.py` first.
"""
