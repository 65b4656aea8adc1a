"""Learning to point by copying colours: data, objective, one visible loop, monitor.

Enters: folders of videos and photos, without labels. Leaves: weights, checkpoints, a report.
Read `train.py` first, then `objective.py`; `masks` trains the decoder of masks in the same way.
"""
