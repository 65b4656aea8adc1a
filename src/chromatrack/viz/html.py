"""Parts of a page to be read offline, on any screen: everything it shows is in the one file.

The markup is in `page.html.jinja`; what the functions here return is markup, too.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import escape
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CHARACTERS = 400  # of one value


def _shown(value: object) -> str:
    """Anything as plain text of bounded length; floats with four digits, `-` for NaN."""
    if isinstance(value, float):
        value = f"{value:.4g}" if math.isfinite(value) else "-"
    elif isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:,}"
    shown = str(value)
    return shown if len(shown) <= _MOST_CHARACTERS else shown[: _MOST_CHARACTERS - 2] + ".."


def _macros() -> Any:  # noqa: ANN401 (Jinja's macros have no types)
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    templates.filters["shown"] = _shown
    return templates.get_template("page.html.jinja").module


_PARTS = _macros()


def text(value: object) -> str:
    """Anything as escaped text of bounded length; floats with four digits, `-` for NaN."""
    return str(escape(_shown(value)))


def page(title: str, body: str) -> str:
    """A whole page; `title` is plain text, `body` markup."""
    return str(_PARTS.page(title, body))


def heading(title: str, below: str) -> str:
    """The page's heading and a line below it, both plain text."""
    return str(_PARTS.heading(title, below))


def section(title: str, body: str) -> str:
    """A titled section of markup; nothing where the markup is empty."""
    return str(_PARTS.section(title, body)) if body else ""


def paragraph(words: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(words)}</p>"


def tiles(shown: Mapping[str, object]) -> str:
    """The numbers one wants to know first."""
    return str(_PARTS.tiles(shown))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of numbers; cells are plain values."""
    return str(_PARTS.table(head, rows))


def pairs(values: Mapping[str, object]) -> str:
    """A table of names and values; nothing where there are none."""
    return str(_PARTS.pairs(values)) if values else ""


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
    return str(_PARTS.picture(data, caption, alt))


def thumbnails(pictures: Sequence[str]) -> str:
    """Small pictures side by side, as `thumbnail` gives them; nothing where there are none."""
    return f'<div class="thumbnails">{"".join(pictures)}</div>' if pictures else ""


def thumbnail(data: str, *, caption: str, alt: str) -> str:
    """A small picture, `data` a URI as `as_data` gives."""
    return str(_PARTS.thumbnail(data, caption, alt))


def messages(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of texts, which are wrapped; cells are plain values."""
    return str(_PARTS.messages(head, rows))


def as_data(image: Image.Image) -> str:
    """A picture as a data URI (JPEG, a tenth of the PNG's size)."""
    content = io.BytesIO()
    image.convert("RGB").save(content, "JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
