"""Command lines, read as a shell reads them (POSIX, Shell Command Language), as far as entrypoints need it.

Quotes, escapes, variables with their defaults, comments, redirections, and the operators between commands. What only
running could tell, such as the output of `$(nproc)`, is `UNKNOWN`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping

UNKNOWN = "\ufffd"
"""Stands in a word for what is not known before it is run."""

_SPACE = " \t\r"
_BETWEEN_COMMANDS = ";&|\n"
_REDIRECTION = re.compile(r"(?:&>>?|[0-9]*(?:<<<|<<-?|>>|>\||<>|[<>]&?))[ \t]*")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
_BRACED = re.compile(r"([A-Za-z_]\w*|[@*0-9])(?:(:?[-=+?])(.*))?", re.ASCII | re.DOTALL)


class BadCommand(ValueError):
    """A command line that is not a shell's, or starts nothing we can serve; the text completes "entrypoint …"."""


def commands(text: str, variables: MutableMapping[str, str]) -> Iterator[list[str]]:
    """The words of one simple command after another, whatever would decide which of them run.

    Variables are looked up when their command's turn comes, so whoever reads may change them between two commands.
    Raises `BadCommand`.
    """
    reader = _CommandText(text.replace("\\\n", ""), variables)
    words: list[str] = []
    while not reader.at_end:
        if reader.skip_redirection():
            continue
        if reader.next in _BETWEEN_COMMANDS:
            reader.skip_operator()
            if words:
                yield words
            words = []
        else:
            words += reader.word()
    if words:
        yield words


class _Quoted(str):
    """A value that is not split into words."""


class _CommandText:
    """A place in a text."""

    def __init__(self, text: str, variables: MutableMapping[str, str]) -> None:
        self._text = text
        self._at = 0
        self._variables = variables
        self._fields: list[str] = []
        self._open: str | None = None
        self._skip_space()

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._text)

    @property
    def next(self) -> str:
        return self._text[self._at : self._at + 1]

    def skip_operator(self) -> None:
        """Passes over one character and the space behind it."""
        self._at += 1
        self._skip_space()

    def skip_redirection(self) -> bool:
        """Passes over a redirection and its file; whether there was one."""
        found = _REDIRECTION.match(self._text, self._at)
        if found:
            self._at = found.end()
            self.word()
        return found is not None

    def word(self) -> list[str]:
        """The next word. Unquoted variables may make several words of it, or none."""
        self._fields, self._open = [], None
        while not self.at_end and self.next not in _SPACE + _BETWEEN_COMMANDS + "<>":
            self._part()
        self._end_field()
        self._skip_space()
        return self._fields

    def whole(self) -> str:
        """All of the text as one word, as between double quotes, but with quotes of its own."""
        self._fields, self._open = [], ""
        while not self.at_end:
            self._part(split=False)
        return self._open

    def _part(self, split: bool = True) -> None:
        character = self._take_one()
        if character == "\\":
            self._add(self._take_one())
        elif character == "'":
            self._add(self._until("'"))
        elif character == '"':
            self._double_quoted()
        elif character == "$":
            value = self._expansion()
            plain = not split or isinstance(value, _Quoted) or (not self._fields and _ASSIGNED.match(self._open or ""))
            self._add(value) if plain else self._add_split(value)
        elif character == "`":
            self._until("`")
            self._add(UNKNOWN)
        elif character == "(" and self._open:
            # The call of a factory, which strictly would have to be quoted.
            self._add(f"({self._until_balanced('(', ')')})")
        elif character not in "()":
            self._add(character)

    def _take_one(self) -> str:
        """The next character, "" at the end."""
        found = self.next
        self._at += 1
        return found

    def _double_quoted(self) -> None:
        self._add("")
        while (character := self._take_one()) != '"':
            if not character:
                raise BadCommand("has a quote that is not closed")
            if character == "$":
                self._add(self._expansion())
            elif character == "`":
                self._until("`")
                self._add(UNKNOWN)
            elif character == "\\" and self.next in ("$", "`", '"', "\\"):
                self._add(self._take_one())
            else:
                self._add(character)

    def _expansion(self) -> str:
        """The value of what follows a dollar sign."""
        if self.next == "(":
            self._at += 1
            self._until_balanced("(", ")")
            return UNKNOWN
        if self.next == "{":
            self._at += 1
            return self._braced(self._until_balanced("{", "}"))
        name = _NAME.match(self._text, self._at)
        if name:
            self._at = name.end()
            return self._variables.get(name[0], "")
        if self.next and self.next in "@*0123456789":
            return self._variables.get(self._take_one(), "")
        if self.next and self.next in "?#$!-":
            self._at += 1
            return UNKNOWN
        return "$"

    def _braced(self, inside: str) -> str:
        found = _BRACED.fullmatch(inside)
        if found is None:
            return UNKNOWN
        name, operator, word = found[1], found[2] or "", found[3] or ""
        value = self._variables.get(name)
        there = value is not None and (value != "" or not operator.startswith(":"))
        if operator.endswith("+"):
            return _CommandText(word, self._variables).whole() if there else ""
        if there or not operator or operator.endswith("?"):
            return value or ""
        default = _CommandText(word, self._variables).whole()
        default = _Quoted(default) if word.startswith(("'", '"')) else default
        if operator.endswith("="):
            self._variables[name] = default
        return default

    def _until(self, end: str) -> str:
        at = self._text.find(end, self._at)
        if at < 0:
            raise BadCommand("has a quote that is not closed")
        found, self._at = self._text[self._at : at], at + 1
        return found

    def _until_balanced(self, opening: str, closing: str) -> str:
        start, depth, quote = self._at, 1, ""
        while depth:
            character = self._take_one()
            if not character:
                raise BadCommand(f"has a {opening!r} that is not closed")
            if quote:
                quote = "" if character == quote else quote
            elif character in "'\"":
                quote = character
            else:
                depth += (character == opening) - (character == closing)
        return self._text[start : self._at - 1]

    def _skip_space(self) -> None:
        while self.next and self.next in _SPACE:
            self._at += 1
        if self.next == "#":
            end = self._text.find("\n", self._at)
            self._at = len(self._text) if end < 0 else end

    def _add(self, text: str) -> None:
        self._open = (self._open or "") + text

    def _add_split(self, value: str) -> None:
        first, *others = re.split(r"[ \t\n]+", value)
        if first:
            self._add(first)
        for each in others:
            self._end_field()
            if each:
                self._add(each)

    def _end_field(self) -> None:
        if self._open is not None:
            self._fields.append(self._open)
            self._open = None
