"""One file per exchange format, each with read and / or write."""
