"""Metrics: pure functions on numpy arrays."""
