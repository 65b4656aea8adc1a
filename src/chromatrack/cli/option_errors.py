"""One line for options that cannot be read: what was expected, what was given, where help is.

tyro tells what went wrong through a hook, which its documentation describes as open to additions:
what is not known here falls through to tyro's own message.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from tyro import _errors as parsing

from chromatrack.errors import InputError

if TYPE_CHECKING:
    from tyro._arguments import ArgumentDefinition

KINDS = {"INT": "a whole number", "FLOAT": "a number", "TEXT": "a text"}
"""In words, what options say that they take."""


@dataclass(frozen=True)
class CommandLine:
    """What was typed, and what could have been.

    program: its name. arguments: what was typed after it. commands: every command's name, and the
    names of those inside it. show_help: prints the help of a command, given its name and `--help`.
    """

    program: str
    arguments: Sequence[str]
    commands: Mapping[str, Sequence[str]]
    show_help: Callable[[list[str]], object]

    @contextlib.contextmanager
    def one_line_errors(self) -> Iterator[None]:
        """Within the block, what the parser refuses raises InputError."""
        with parsing.on_parse_error(self._refuse):
            yield

    def _refuse(self, event: parsing.ParseErrorEvent, /) -> None:
        if text := self._text(event):
            raise InputError(f"{text}; see {' '.join([self.program, *self.path])} --help")

    @property
    def path(self) -> list[str]:
        """The names of commands that the arguments begin with."""
        path = [name for name in self.arguments[:1] if name in self.commands]
        inner = self.commands.get(path[0], ()) if path else ()
        return path + [name for name in self.arguments[1:2] if name in inner]

    def _text(self, event: parsing.ParseErrorEvent) -> str | None:
        if isinstance(event, parsing.MissingArgs):
            missing = [_name(one.arg) for one in event.missing_arguments]
            return f"expected {_listed(missing, 'and')}, got none"
        if isinstance(event, parsing.MissingSubcommand):
            known = list(event.subcommand_spec.parser_from_name)
            return f"expected a command ({_listed(known, 'or')}), got none"
        if isinstance(event, parsing.UnrecognizedArgs):
            return self._unknown(event.tokens[0])
        if isinstance(event, parsing.InvalidChoice):
            choices = _listed(_choices(event.choices), "or")
            return f"{_name(event.argument)}: expected {choices}, got {event.value!r}"
        if isinstance(event, parsing.BadValue):
            given = "nothing" if event.offending_value is None else repr(event.offending_value)
            return f"{_name(event.argument)}: expected {_kind(event.argument)}, got {given}"
        if isinstance(event, parsing.InstantiationFailure) and event.argument is not None:
            argument = event.argument
            return f"{_name(argument)}: expected {_kind(argument)}, got {self._given(argument)}"
        return None

    def _unknown(self, first: str) -> str:
        """What is not known: a command, an option, or one argument too many."""
        path = self.path
        inner = self.commands.get(path[0], ()) if path else tuple(self.commands)
        if inner and len(path) < 2 and first == (self.arguments[len(path) :] or [""])[0]:
            known = _listed(inner, "or")
            return f"{first!r}: expected a command{_near(first, inner)}, one of {known}"
        command = " ".join([self.program, *path])
        if not first.startswith("-"):
            return f"{first!r}: `{command}` expected nothing more"
        options = re.findall(r"--[a-z][a-z-]*", self._help_text())
        return f"{first}: no option of `{command}`{_near(first.partition('=')[0], options)}"

    def _help_text(self) -> str:
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            self.show_help([*self.path, "--help"])
        return text.getvalue()

    def _given(self, argument: ArgumentDefinition) -> str:
        """What was typed for an option."""
        for flag in argument.lowered.name_or_flags:
            for typed, following in zip(self.arguments, [*self.arguments[1:], ""], strict=True):
                if typed == flag:
                    return repr(following)
                if typed.startswith(f"{flag}="):
                    return repr(typed.partition("=")[2])
        return "something else"


def _near(word: str, known: Sequence[str]) -> str:
    """What is written much like a word; the dashes before it say nothing."""
    bare = {one.lstrip("-"): one for one in known}
    near = get_close_matches(word.lstrip("-"), bare, n=1)
    return f" (did you mean {bare[near[0]]}?)" if near else ""


def _name(argument: ArgumentDefinition) -> str:
    """An option in its longest spelling, or the name of what comes without one."""
    if argument.is_positional():
        return argument.lowered.metavar or "an argument"
    return max(argument.lowered.name_or_flags, key=len)


def _kind(argument: ArgumentDefinition) -> str:
    """What an option takes, in words."""
    metavar = (argument.lowered.metavar or "a value").replace("{None}|", "")
    if metavar.startswith("{") and metavar.count("{") == 1:
        return _listed(_choices(metavar.strip("{}").split(",")), "or")
    kinds = metavar.replace("{", "").replace("}", "").split("|")
    return _listed([KINDS.get(kind, kind) for kind in kinds], "or")


def _choices(names: Sequence[str]) -> list[str]:
    """Choices without None, which stands for an option left out and mixes up their order."""
    return list(names) if "None" not in names else sorted(set(names) - {"None"})


def _listed(names: Sequence[str], word: str) -> str:
    *most, last = names
    return f"{', '.join(most)} {word} {last}" if most else last
