"""Measuring: metrics (pure numpy), one file per benchmark, baselines and reports."""
