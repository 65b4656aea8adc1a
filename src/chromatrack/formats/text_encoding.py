"""Which encoding a text file is in: UTF-8, or UTF-16 as Excel's "Unicode text" is."""

from __future__ import annotations

import codecs
from pathlib import Path

_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def text_encoding(start: bytes) -> str:
    """The encoding of a text that begins with some bytes, by its byte order mark."""
    return "utf-16" if start.startswith(_WIDE) else "utf-8-sig"


def file_encoding(path: Path) -> str:
    """The encoding of a text file. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return text_encoding(file.read(2))
