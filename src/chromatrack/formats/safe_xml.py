"""XML that a user or another program wrote, element by element, without entities of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from chromatrack.errors import InputError

MOST_XML_BYTES = 1 << 32
"""Of a file; larger ones are refused before they are read."""

MOST_DEPTH = 32
"""Elements inside one another; real files have a handful."""

MOST_ELEMENT = 1 << 22
"""Elements inside one that is wanted."""

_CHUNK = 1 << 20


def xml_elements(path: Path, wanted: Collection[str]) -> Iterator[ET.Element]:
    """The elements of some names, each whole, in the order of the file; the rest is let go.

    An element inside one that is wanted comes with it. A document type is refused: it can define
    entities, which blow up or read files.

    Raises:
        InputError: no XML, a document type, or more than the limits of this module.
    """
    try:
        if (size := path.stat().st_size) > MOST_XML_BYTES:
            raise InputError(
                f"'{path}': expected at most {MOST_XML_BYTES >> 20} MiB of XML, got {size >> 20}"
            )
        target = _Wanted(path, frozenset(wanted))
        parser = ET.XMLParser(target=target)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.feed(chunk)
                yield from target.taken()
        parser.close()
        yield from target.taken()
    except InputError:
        raise
    except (ET.ParseError, LookupError, ValueError) as error:  # encodings that Python lacks, too
        raise InputError(
            f"'{path}': expected XML, but it cannot be read ({error}); export it again"
        ) from error
    except OSError as error:
        raise InputError(f"'{path}': cannot be read ({error}); check it") from error


class _Wanted:
    """Builds the elements that are wanted; the parser calls its methods."""

    def __init__(self, path: Path, wanted: frozenset[str]) -> None:
        self._path, self._wanted = path, wanted
        self._depth, self._inside, self._count = 0, 0, 0
        self._builder = ET.TreeBuilder()
        self._done: list[ET.Element] = []

    def taken(self) -> list[ET.Element]:
        """The elements that are whole by now; each is given once."""
        done, self._done = self._done, []
        return done

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise InputError(
                f"'{self._path}': expected at most {MOST_DEPTH} elements inside one another, got "
                "more; check that it is the right file"
            )
        if self._inside or tag in self._wanted:
            self._inside += 1
            self._count += 1
            if self._count > MOST_ELEMENT:
                raise InputError(
                    f"'{self._path}': expected at most {MOST_ELEMENT} elements in one {tag}, got "
                    "more; check that it is the right file"
                )
            self._builder.start(tag, attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1
        if not self._inside:
            return
        self._builder.end(tag)
        self._inside -= 1
        if not self._inside:
            self._done.append(self._builder.close())
            self._builder, self._count = ET.TreeBuilder(), 0

    def data(self, text: str) -> None:
        if self._inside:
            self._builder.data(text)

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise InputError(
            f"'{self._path}': expected XML without a document type, got <!DOCTYPE {name:.40} ...>, "
            "which can define entities; remove that line"
        )

    def close(self) -> None:
        return None
