"""Many videos, one command: a manifest of jobs, done by processes or machines, kept in a store.

Enters: a manifest with a row per job, and the commands that a row may name. Leaves: a folder per
job that is there whole or not at all, a table of all jobs and a page about them.
Read `job.py` first, then `drive.py`.
"""
