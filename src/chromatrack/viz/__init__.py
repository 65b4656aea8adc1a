"""Pictures and pages for people.

Enters: frames with what was tracked on them, numbers for a report. Leaves: drawn frames, contact
sheets, parts of an offline HTML page.
Read `overlays.py` first.
"""
