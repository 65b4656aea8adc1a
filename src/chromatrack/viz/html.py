"""Parts of a page to be read offline, on any screen: everything it shows is in the one file."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CHARACTERS = 400  # of one value


def text(value: object) -> str:
    """Anything as escaped text of bounded length; floats with four digits, `-` for NaN."""
    if isinstance(value, float):
        value = f"{value:.4g}" if math.isfinite(value) else "-"
    elif isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:,}"
    shown = str(value)
    if len(shown) > _MOST_CHARACTERS:
        shown = shown[: _MOST_CHARACTERS - 2] + ".."
    return html.escape(shown)


def page(title: str, body: str) -> str:
    """A whole page; `title` is plain text, `body` markup."""
    return _PAGE.format(title=text(title), style=_STYLE, body=body)


def heading(title: str, below: str) -> str:
    """The page's heading and a line below it, both plain text."""
    return f"<header><h1>{text(title)}</h1><p>{text(below)}</p></header>"


def section(title: str, body: str) -> str:
    """A titled section of markup; nothing where the markup is empty."""
    return f"<section><h2>{text(title)}</h2>\n{body}\n</section>" if body else ""


def paragraph(words: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(words)}</p>"


def tiles(shown: Mapping[str, object]) -> str:
    """The numbers one wants to know first."""
    return f'<div class="tiles">{"".join(_tile(k, v) for k, v in shown.items())}</div>'


def _tile(label: str, value: object) -> str:
    shown = text(value)
    size = ' class="long"' if len(shown) > 14 else ""
    return f"<div{size}><b>{shown}</b><span>{text(label)}</span></div>"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of numbers; cells are plain values."""
    top = "".join(f"<th>{text(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{text(value)}</td>" for value in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def pairs(values: Mapping[str, object]) -> str:
    """A table of names and values; nothing where there are none."""
    rows = "".join(
        f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in values.items()
    )
    return f'<table class="pairs"><tbody>{rows}</tbody></table>' if rows else ""


def svg(figure: Figure, *, salt: str) -> str:
    """A matplotlib figure as inline SVG, its text as text; `salt` makes its names its own."""
    import matplotlib

    figure.patch.set_alpha(0)
    drawn = io.StringIO()
    unsigned = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(drawn, format="svg", metadata=unsigned)
    markup = drawn.getvalue()
    return f"<figure>{markup[markup.index('<svg') :]}</figure>"


def panels(figures: Sequence[str]) -> str:
    """Figures side by side, as many as fit."""
    return f'<div class="panels">{"".join(figures)}</div>' if figures else ""


def picture(data: str, *, caption: str, alt: str) -> str:
    """A wide picture, `data` a URI as `as_data` gives."""
    return (
        f'<figure class="wide"><figcaption>{text(caption)}</figcaption><div class="scroll">'
        f'<img alt="{text(alt)}" src="{data}"></div></figure>'
    )


def as_data(image: Image.Image) -> str:
    """A picture as a data URI (JPEG, a tenth of the PNG's size)."""
    content = io.BytesIO()
    image.convert("RGB").save(content, "JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light; --ink: #26282c; --soft: #6b6f76; --line: #dddbd4; --paper: #f6f6f3; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 16px/1.45 system-ui, sans-serif; }
h1 { margin: .5rem 0 0; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .7rem; font-size: 1.15rem; }
header p { margin: .1rem 0 1rem; color: var(--soft); }
.tiles { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fill, minmax(8.6rem, 1fr)); }
.tiles div { padding: .6rem .75rem; background: #fff; border: 1px solid var(--line);
  border-radius: .5rem; }
.tiles .long { grid-column: span 2; }
.tiles b { display: block; font-size: 1.15rem; overflow-wrap: anywhere; }
.tiles span { color: var(--soft); font-size: .85rem; }
.panels { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
figure { margin: 0; padding: .5rem; background: #fff; border: 1px solid var(--line);
  border-radius: .5rem; }
figure svg { display: block; width: 100%; height: auto; }
figure.wide { margin-bottom: .8rem; }
figcaption { padding: 0 .2rem .4rem; font-weight: 600; }
.scroll { overflow-x: auto; }
.scroll img { display: block; width: 100%; min-width: 60rem; height: auto; }
table { border-collapse: collapse; background: #fff; font-size: .92rem; }
th, td { padding: .3rem .7rem; border: 1px solid var(--line); }
.numbers { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
.pairs { width: 100%; table-layout: fixed; }
.pairs th { width: 45%; text-align: left; font-weight: 500; color: var(--soft); }
.pairs th, .pairs td { overflow-wrap: anywhere; }
summary { cursor: pointer; padding: .5rem 0; font-weight: 600; }
ul { padding-left: 1.2rem; overflow-wrap: anywhere; }
"""
