"""What people do with tracks: hold the camera, list events, put pictures on surfaces.

Enters: a finished run, or a tracker and a video. Leaves: videos and tables.
Nothing else in the package needs this room but the command line.
Read `events.py` first.
"""
