"""Pure maths on tensors: pixel centres, colour spaces, the pointer, resampling.

Enters: tensors and keyword numbers. Leaves: tensors. No I/O, no state, no device moves.
Read `affinity.py` first: similarity, affinity and readout are the pointer that training and
tracking share.
"""
