"""Parts of an offline page: escaped, bounded, and whole."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from chromatrack.viz import html as page

EVIL = "<script>alert(1)</script>&\"'"


@given(st.text())
def test_no_text_becomes_markup(words):
    shown = page.text(words)
    assert not set("<>\"'") & set(shown)
    assert len(words) > 400 or shown.count("&") == sum(words.count(c) for c in "<>&\"'")


@pytest.mark.parametrize(
    ("value", "shown"), [(12345, "12,345"), (0.123456, "0.1235"), (math.nan, "-"), (True, "True")]
)
def test_numbers(value, shown):
    assert page.text(value) == shown


def test_every_part_escapes_what_it_is_given():
    parts = [
        page.heading(EVIL, EVIL),
        page.section(EVIL, "<p>x</p>"),
        page.paragraph(EVIL),
        page.tiles({EVIL: EVIL}),
        page.table([EVIL], [[EVIL]]),
        page.pairs({EVIL: EVIL}),
        page.picture("data:,", caption=EVIL, alt=EVIL),
    ]
    whole = page.page(EVIL, "\n".join(parts))
    assert "<script" not in whole
    assert whole.count("alert(1)") == 13


def test_nothing_in_nothing_out():
    assert page.section("title", "") == page.pairs({}) == page.panels([]) == ""


def test_pictures_and_charts_are_in_the_page_itself():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [1, 0])
    assert page.svg(figure, salt="a") == page.svg(figure, salt="a")
    assert page.as_data(Image.new("RGBA", (4, 4))).startswith("data:image/jpeg;base64,")
    assert not re.search(r"(href|src)=.http", page.page("t", page.svg(figure, salt="a")))
