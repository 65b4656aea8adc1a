"""Options made of configurations: what is left out, what is said, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pytest
import tyro

from chromatrack.cli.knobs import field_texts, knobs, turned


@dataclass(frozen=True)
class Inner:
    """Something inside.

    Args:
        deep: not asked for.
    """

    deep: int = 1


@dataclass(frozen=True)
class Outer:
    """A configuration.

    Args:
        count: how many; None: every one
            of them.
        share: from 0 to 1.
        sides: two of them.
        inner: something inside.
    """

    count: int | None = 3
    share: float | None = None
    sides: tuple[int, ...] = (1, 2)
    inner: Inner = Inner()


MADE = knobs("Made", Outer, preset=["sides"])


def test_fields_are_those_of_the_configuration_but_configurations():
    assert {f.name: f.default for f in fields(MADE)} == {
        "count": None,
        "share": None,
        "sides": (1, 2),
    }
    assert [f.name for f in fields(knobs("Made", Outer, without=["count"]))] == ["share", "sides"]


def test_texts_come_from_the_documentation():
    texts = field_texts(Outer)
    assert list(texts) == ["count", "share", "sides", "inner"]
    assert texts["count"] == "how many; None: every one of them."


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"sides": (1, 2)}),
        (["--count", "all"], {"count": None, "sides": (1, 2)}),
        (["--count", "7", "--share", "0.5", "--sides", "4"], dict(count=7, share=0.5, sides=(4,))),
    ],
)
def test_what_is_left_out_is_not_turned(words, expected):
    assert turned(tyro.cli(MADE, args=words), MADE) == expected
