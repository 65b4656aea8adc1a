"""Options made of the fields of configurations: names, choices, help and defaults, for tyro."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from dataclasses import MISSING, Field, field, fields, make_dataclass
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from tyro.conf import DisallowNone, arg

METAVARS = {int: "INT", float: "FLOAT", str: "TEXT"}


def knobs(
    name: str, *configs: type, without: Collection[str] = (), preset: Collection[str] = ()
) -> Any:  # noqa: ANN401
    """A dataclass with the fields of configurations, their types and documentation.

    A field that the user leaves out is None, so that a preset's own value holds. Where a
    configuration takes None for something else than what is usual, users say `all`.

    Args:
        configs: dataclasses, each field documented under `Args:`. Fields that are configurations
            themselves are left out; of one name in two the first counts.
        without: fields to leave out.
        preset: fields that have the configuration's own default instead of None.
    """
    made: dict[str, tuple[str, Any, Any]] = {}
    for config in configs:
        hints, texts = get_type_hints(config), field_texts(config)
        for known in fields(config):
            hint = hints[known.name]
            if known.name in (*without, *made) or hasattr(hint, "__dataclass_fields__"):
                continue
            usual = _usual(known)
            if NoneType in get_args(hint) and usual is not None:
                (kind,) = (kind for kind in get_args(hint) if kind is not NoneType)
                hint = kind | Literal["all"]
            if known.name not in preset:
                hint, usual = hint | None, None
            described = Annotated[hint, _argument(hint, texts[known.name])]
            if NoneType in get_args(hint):  # by leaving it out, not by `None`; so --x and --no-x
                described = DisallowNone[described]
            made[known.name] = (known.name, described, field(default=usual))
    return make_dataclass(name, made.values(), frozen=True, kw_only=True)


def turned(given: object, kind: Any) -> dict[str, Any]:  # noqa: ANN401
    """The values of the fields of `kind`, made by `knobs`, without those that are left out."""
    values = {known.name: getattr(given, known.name) for known in fields(kind)}
    return {
        name: None if value == "all" else value
        for name, value in values.items()
        if value is not None
    }


def field_texts(config: type) -> dict[str, str]:
    """{field: its text} from the `Args:` of a class's documentation."""
    _, _, args = (inspect.getdoc(config) or "").partition("\nArgs:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", args, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _usual(known: Field[Any]) -> object:
    return known.default if known.default_factory is MISSING else known.default_factory()


def _argument(hint: Any, text: str) -> Any:  # noqa: ANN401
    """How tyro shows an option: numbers and texts are named, choices are listed by tyro itself."""
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    if kinds[0] in METAVARS:
        rest = ["all"] if len(kinds) > 1 else []
        return arg(help=text, metavar="|".join([METAVARS[kinds[0]], *rest]))
    if get_origin(kinds[0]) is tuple:
        parts = ["..." if part is ... else METAVARS[part] for part in get_args(kinds[0])]
        return arg(help=text, metavar=" ".join(parts))
    return arg(help=text)
