"""The command line: parse, call one function, print.

Enters: arguments. Leaves: an exit code, one line on stdout, progress on stderr.
Read `main.py` first; there is one file per group of commands.
"""
