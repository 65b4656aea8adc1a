"""The studio: a local web app to mark, track, watch, correct and export.

Enters: requests of one person's browser. Leaves: pictures, states and events, and the folder of a
run that goes on. Owns no maths; decoding and the model work in processes of their own.
Read `manager.py` first; `document.py` is what a project says, `store.py` how it lies on disk.
"""
