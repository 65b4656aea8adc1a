"""Benchmarks of the field, metrics, baselines, and clips of known truth.

Enters: a data set in its published layout and anything that tracks. Leaves: scores with the field's
own column names, tables and pages.
Read `runner.py` first: what a benchmark is; then one of `datasets/`.
"""
