"""One file per exchange format, each with read and / or write.

Enters: files of marks and tables from other tools, and tracked results. Leaves: marks as plain
types, checked on reading, and files that other tools read.
Read `csv_tables.py` first: it is the smallest complete example.
"""
