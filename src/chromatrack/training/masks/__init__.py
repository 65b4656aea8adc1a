"""The mask decoder's training: clips with exact truth pasted together, tracked, and learned from.

`regions` -> `sprites` -> `pasted_clips` -> `samples` -> `learn`; begin with the last.
"""
