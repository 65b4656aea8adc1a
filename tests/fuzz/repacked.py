"""Damage done inside a file whose parts are guarded, and what guards them set right again.

A flipped byte of a PNG, a tar or a zip is told by a checksum before anything else is looked at;
here the sums are computed anew, so that the damage reaches what reads the content.
"""

from __future__ import annotations

import io
import json
import random
import re
import struct
import tarfile
import warnings
import zipfile
import zlib
from typing import Any

import numpy as np
from mutations import damaged_bytes, damaged_json

PNG_HEAD = 8
TAR_BLOCK = 512


def damaged_png(data: bytes, rng: random.Random) -> bytes:
    """The content of one chunk damaged, its checksum set; or a chunk dropped, repeated, moved."""
    if rng.random() < 0.2:
        return damaged_bytes(data, rng)
    chunks = _chunks(data)
    at = rng.randrange(len(chunks))
    what = rng.choice(("content", "content", "content", "pixels", "drop", "repeat", "move", "name"))
    kind, content = chunks[at]
    if what == "content":
        chunks[at] = kind, damaged_bytes(content, rng)
    elif what == "pixels":
        at = next(i for i, (kind, _) in enumerate(chunks) if kind == b"IDAT")
        kind, content = chunks[at]
        chunks[at] = kind, zlib.compress(damaged_bytes(zlib.decompress(content), rng))
    elif what == "drop":
        del chunks[at]
    elif what == "repeat":
        chunks[at:at] = [chunks[at]] * rng.choice((1, 3))
    elif what == "move":
        chunks.insert(rng.randrange(len(chunks)), chunks.pop(at))
    else:
        names = (b"tRNS", b"PLTE", b"acTL", b"fcTL", b"fdAT", b"eXIf", b"iCCP", b"zTXt", b"gAMA")
        chunks.insert(1, (rng.choice(names), rng.randbytes(rng.choice((0, 1, 8, 26, 100)))))
    return data[:PNG_HEAD] + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], PNG_HEAD
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += length + 12
    return found


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def damaged_moov(data: bytes, rng: random.Random) -> bytes:
    """Numbers of an MP4's tables (sizes, times, edits, places) exchanged."""
    changed = bytearray(data)
    start = data.index(b"moov")
    values = (0, 1, 2, 255, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 0x10000)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(start, len(data) - 4)
        changed[at : at + 4] = struct.pack(">I", rng.choice(values))
    return bytes(changed)


def damaged_safetensors(data: bytes, rng: random.Random) -> bytes:
    """A value of the header, of the configuration in it, or a number of a tensor exchanged."""
    (length,) = struct.unpack_from("<Q", data)
    header, tensors = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    what = rng.choice(("bytes", "header", "config", "config", "config", "numbers", "numbers"))
    if what == "bytes":
        return damaged_bytes(data, rng)
    if what == "header":
        text = damaged_json(json.dumps(header).encode(), rng)
        return struct.pack("<Q", len(text)) + text + tensors
    if what == "config":
        given = header["__metadata__"]["chromatrack"].encode()
        changed = damaged_json(given, rng).decode("utf-8", "replace")
        header["__metadata__"]["chromatrack"] = changed
    else:
        _strange_numbers(header, tensors, rng)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + tensors


def _strange_numbers(header: dict[str, Any], tensors: bytearray, rng: random.Random) -> None:
    entry = header[rng.choice([name for name in header if name != "__metadata__"])]
    start, end = entry["data_offsets"]
    dtype = {"F16": np.float16, "F32": np.float32}.get(entry["dtype"], np.uint8)
    values = np.frombuffer(bytes(tensors[start:end]), dtype).copy()
    strange = (np.nan, np.inf, -np.inf, 6e4, -6e4, 0.0, -1.0)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        number = np.array(rng.choice(strange)).astype(dtype)
    values[slice(None) if rng.random() < 0.3 else rng.randrange(len(values))] = number
    tensors[start:end] = values.tobytes()


def damaged_zip(data: bytes, rng: random.Random) -> bytes:
    """A file inside a zip damaged, dropped or renamed, and the zip written anew."""
    if rng.random() < 0.2:
        return damaged_bytes(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = [(info.filename, archive.read(info)) for info in archive.infolist()]
    first = [i for i, (name, _) in enumerate(files) if name.endswith("data.pkl")]
    at = first[0] if first and rng.random() < 0.6 else rng.randrange(len(files))
    name, content = files[at]
    what = rng.choice(("content", "content", "content", "drop", "rename"))
    files[at] = (name, damaged_bytes(content, rng)) if what == "content" else (f"{name}_", content)
    if what == "drop":
        del files[at]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for entry in files:
            archive.writestr(*entry)
    return out.getvalue()


def damaged_tar(data: bytes, rng: random.Random) -> bytes:
    """A field of one header exchanged, and its checksum set; or any bytes."""
    if rng.random() < 0.4:
        return damaged_bytes(data, rng)
    changed = bytearray(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as shard:
        start = rng.choice(shard.getmembers()).offset
    fields = {"name": (0, 100), "mode": (100, 8), "size": (124, 12), "time": (136, 12)}
    fields |= {"type": (156, 1), "link": (157, 100), "magic": (257, 8), "prefix": (345, 155)}
    at, length = fields[rng.choice(("name", "size", "size", "size", "type", *fields))]
    values = (b"\xff" * length, b"\x80" + bytes(length - 1), b"\x80" + b"\xff" * (length - 1))
    values += (b"7" * length, b" " * length, bytes(length), b"-1", rng.randbytes(length))
    values += (b"x", b"g", b"L", b"K", b"S", b"../../x.jpg", b"a/./b.mp4", b"0")
    value = rng.choice(values)[:length]
    changed[start + at : start + at + length] = value + bytes(length - len(value))
    changed[start + 148 : start + 156] = b" " * 8
    total = sum(changed[start : start + TAR_BLOCK])
    changed[start + 148 : start + 156] = f"{total:06o}\0 ".encode()
    return bytes(changed)


def damaged_text(data: bytes, rng: random.Random) -> bytes:
    """Words of a list exchanged, lines dropped or repeated; or any bytes."""
    if rng.random() < 0.3:
        return damaged_bytes(data, rng)
    lines = data.splitlines()
    at = rng.randrange(len(lines))
    words = lines[at].replace(b",", b" ").split(b" ")
    strange = (b"nan", b"1e308", b"-1", b"inf", b"/", b"..", b"", b"9" * 400, b"\xff\xfe", b"\x00")
    what = rng.choice(("word", "word", "word", "drop", "repeat", "short", "long", "empty"))
    if what == "word":
        words[rng.randrange(len(words))] = rng.choice(strange)
    elif what == "short":
        words = words[:-1]
    elif what == "long":
        words.append(rng.choice(strange))
    separator = b"," if b"," in lines[at] else b" "
    lines[at] = separator.join(words)
    if what == "drop":
        del lines[at]
    elif what == "repeat":
        lines.insert(at, lines[at])
    elif what == "empty":
        lines[at] = b""
    return b"\n".join(lines)


def damaged_xml(data: bytes, rng: random.Random) -> bytes:
    """Values of attributes exchanged, elements dropped, repeated or renamed; or any bytes."""
    if rng.random() < 0.2:
        return damaged_bytes(data, rng)
    strange = (
        b"nan",
        b"1e308",
        b"-1",
        b"inf",
        b"",
        b"9" * 400,
        b"&amp;",
        b"0",
        b"1",
        b"1,2;3",
        b"7",
    )
    for _ in range(rng.choice((1, 1, 1, 3))):
        places = list(re.finditer(rb'([a-z_]+)="([^"]*)"', data))
        tags = list(re.finditer(rb"<([a-z]+) [^>]*/?>", data))
        if not places or not tags:
            return data
        one, tag = rng.choice(places), rng.choice(tags)
        what = rng.choice(
            ("value", "value", "value", "swap", "without", "drop", "repeat", "rename")
        )
        if what == "value":
            data = data[: one.start(2)] + rng.choice(strange) + data[one.end(2) :]
        elif what == "swap":
            data = data[: one.start(2)] + rng.choice(places)[2] + data[one.end(2) :]
        elif what == "without":
            data = data[: one.start()] + data[one.end() :]
        elif what == "drop":
            data = data[: tag.start()] + data[tag.end() :]
        elif what == "repeat":
            data = data[: tag.end()] + tag[0] + data[tag.end() :]
        else:
            data = data[: tag.start(1)] + rng.choice(tags)[1] + data[tag.end(1) :]
    return data
