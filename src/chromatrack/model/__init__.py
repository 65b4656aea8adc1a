"""Picture -> feature map: the encoders, their normalisation and their weights.

Enters: RGB or Lab pictures. Leaves: unit-length feature maps `(C, h, w)`, with their geometry.
Shipped weights and their model cards are in `pretrained/`.
Read `encoder.py` first.
"""
