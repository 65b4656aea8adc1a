"""`python -m chromatrack` is the `chromatrack` command."""

from __future__ import annotations

import sys

from chromatrack.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
