"""Python sources of any age as a tree of Python 3's own `ast`, each node on the line where the source has it.

What Python 2 alone could read is written as Python 3 first, token by token: `print` and `exec` as calls, `except X, e`,
`raise X, y`, backticks, `<>`, `0777`, `10L`, `ur""`, parameters that are tuples, tabs of eight columns. The tree is for
looking, not for running: what is called, with what, and where, is as it was; `e` is no variable any more.
Lines that are no Python at all become empty statements, and are named.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

MOST_REPAIRS = 25
"""Lines of one file that may be no Python; with more it is taken for another language."""

_TOKEN = re.compile(
    r"""(?P<string>(?i:[urb]|ur|br|rb|f|fr|rf)?(?:'{3}(?:[^\\]|\\.)*?'{3}|"{3}(?:[^\\]|\\.)*?"{3}
        |'(?:[^\\'\n]|\\.)*'|"(?:[^\\"\n]|\\.)*"))
    |(?P<comment>\#[^\n]*)
    |(?P<joined>\\\r?\n)
    |(?P<newline>\r?\n|\r)
    |(?P<space>[ \t\f]+)
    |(?P<number>(?:0[xX][0-9a-fA-F]+|0[bB][01]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)[lLjJ]?|0[oO][0-7]+[lL]?)
    |(?P<name>[^\W\d]\w*)
    |(?P<operator><>|>>=?|<<=?|\*\*=?|//=?|[-+*/%&|^=<>!]=|.)""",
    re.VERBOSE | re.DOTALL,
)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_LATER_KEYWORDS = frozenset(("async", "await", "nonlocal"))
_BLANK = frozenset(("space", "comment", "joined", "newline"))
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PRINT_FUNCTION = re.compile(r"^from __future__ import [^\n]*(?:\([^)]*)?\bprint_function\b", re.MULTILINE)
_CONSTANTS = ("True", "False", "None")
_TAB = 8


class NotPython(Exception):
    """The text is no Python of any version; the text of the error says where."""


@dataclass(frozen=True, slots=True)
class PythonTree:
    """What a source says. `python2` tells that Python 3 cannot read it; `unread` are runs of lines that are no
    Python.
    """

    root: ast.Module
    python2: str
    unread: tuple[range, ...]


def parse_python(text: str) -> PythonTree:
    """The tree of a source. Raises `NotPython`; never runs anything of it.

    `python2` is "" for a source that Python 3 can read, and otherwise says what of it it cannot, with the line.
    """
    try:
        return PythonTree(_parsed(text), "", ())
    except SyntaxError as error:
        refusal = f"line {error.lineno or 1}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotPython(str(error) or type(error).__name__) from None
    try:
        rewritten = as_python3(text)
        unread: list[range] = []
        while True:
            try:
                return PythonTree(_parsed(rewritten), refusal, tuple(unread))
            except SyntaxError as error:
                line = error.lineno or 1
                if len(unread) == MOST_REPAIRS or any(line in lines for lines in unread):
                    raise NotPython(f"line {line}: {error.msg}") from None
                rewritten, lines = _without_line(rewritten, line)
                unread.append(lines)
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotPython(str(error) or type(error).__name__) from None


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings():
        # Of escapes without a meaning, and of "is" with a literal.
        warnings.simplefilter("ignore")
        return ast.parse(text)


def _without_line(text: str, number: int) -> tuple[str, range]:
    """`text` with an empty statement instead of the one on a line, or of the head of a compound one; and its lines."""
    at, parts = 1, []
    lines = range(number, number + 1)
    for line in _logical_lines(_tokens(text)):
        written = "".join(token.text for token in line)
        breaks = written.count("\n")
        if at <= number < at + max(breaks, 1):
            indent = written[: len(written) - len(written.lstrip(" "))]
            code = "".join(token.text for token in line if token.kind not in _BLANK)
            lines = range(at, at + max(breaks, 1))
            written = f"{indent}{'if 1:' if code.endswith(':') else 'pass'}" + "\n" * breaks
        parts.append(written)
        at += breaks
    return "".join(parts), lines


@dataclass(slots=True)
class _Token:
    kind: str
    text: str


def as_python3(text: str) -> str:
    """A Python 2 source in Python 3's words, line by line."""
    prints = _PRINT_FUNCTION.search(text) is None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    tokens = [_rewritten(token) for token in _tokens(text)]
    return "".join(token.text for line in _logical_lines(tokens) for token in _line(line, prints))


def _tokens(text: str) -> list[_Token]:
    return [_Token(str(match.lastgroup), match[0]) for match in _TOKEN.finditer(text)]


def _rewritten(token: _Token) -> _Token:
    """A token as Python 3 has it."""
    text = token.text
    if token.kind == "number":
        digits = text.rstrip("lL")
        # As in 10L.bit_length().
        digits += " " * (digits != text)
        token.text = f"0o{digits.lstrip('0') or '0'}" if re.fullmatch("0[0-7]+ ?", digits) else digits
    elif token.kind == "string":
        prefix = text[: len(text) - len(text.lstrip("uUrRbBfF"))].lower()
        if prefix == "ur":
            token.text = f"r{text[2:]}"
        elif not prefix:
            # In Python 2 these were plain letters of a string that is not Unicode.
            token.text = _ESCAPE.sub(lambda match: f"\\{match[0]}" if match[1] in "NuU" else match[0], text)
    elif token.kind == "name" and text in _LATER_KEYWORDS:
        token.text = f"{text}_"
    elif text == "<>":
        token.text = "!="
    return token


def _logical_lines(tokens: list[_Token]) -> Iterator[list[_Token]]:
    depth, line = 0, []
    for token in tokens:
        line.append(token)
        if token.kind == "operator":
            depth += (token.text in _OPENING) - (token.text in _CLOSING)
        elif token.kind == "newline" and depth <= 0:
            yield line
            depth, line = 0, []
    yield line


def _line(line: list[_Token], prints: bool) -> list[_Token]:
    if line and line[0].kind == "space":
        line[0].text = line[0].text.replace("\f", "").expandtabs(_TAB)
    _backticks(line)
    _constants_as_names(line)
    _tuple_parameters(line)
    for start, end in _statements(line):
        first = line[start]
        if first.kind != "name":
            continue
        if (first.text == "print" and prints) or first.text == "exec":
            _as_call(line, start, end)
        elif first.text in ("raise", "except"):
            _as_tuple(line, start, end)
    return line


def _backticks(line: list[_Token]) -> None:
    opened = False
    for token in line:
        if token.text == "`":
            token.text = ")" if opened else " repr("
            opened = not opened


def _constants_as_names(line: list[_Token]) -> None:
    """True, False and None were names like others: of attributes, and of what is assigned."""
    solid = [token for token in line if token.kind not in _BLANK]
    for before, token, after in zip([None, *solid], solid, [*solid[1:], None], strict=False):
        if token.text in _CONSTANTS and ((before and before.text == ".") or (after and after.text == "=")):
            token.text = f"{token.text}_"


def _statements(line: list[_Token]) -> Iterator[tuple[int, int]]:
    """Where each simple statement, or head of a compound one, begins and ends (exclusive), comments apart."""
    depth, start, lambdas = 0, None, 0
    for at, token in enumerate(line):
        if token.kind in _BLANK:
            continue
        if start is None:
            start = at
        if token.kind == "name" and token.text == "lambda":
            lambdas += 1
        if token.kind != "operator":
            continue
        depth += (token.text in _OPENING) - (token.text in _CLOSING)
        if depth == 0 and token.text == ":" and lambdas:
            lambdas -= 1
        elif depth == 0 and token.text in (";", ":"):
            yield start, at
            start, lambdas = None, 0
    if start is not None:
        yield start, len(line)


def _next(line: list[_Token], at: int, end: int) -> int:
    """The next token that is neither blank nor a comment; `end` if there is none."""
    while at < end and line[at].kind in _BLANK:
        at += 1
    return at


def _last(line: list[_Token], start: int, end: int) -> int:
    at = end - 1
    while at > start and line[at].kind in _BLANK:
        at -= 1
    return at


def _as_call(line: list[_Token], start: int, end: int) -> None:
    """`print x, y` and `exec x in y` as calls; names of that spelling stay."""
    after = _next(line, start + 1, end)
    if after < end and line[after].text in ("=", ".", ","):
        return
    if after < end and line[after].text == ">>":
        line[after].text = ""
    last = _last(line, start, end)
    line[start].text += "("
    line[last].text += ")"


def _as_tuple(line: list[_Token], start: int, end: int) -> None:
    """`raise X, y` and `except X, e` with what they name in parentheses."""
    depth, has_comma = 0, False
    for token in line[start:end]:
        if token.kind == "operator":
            depth += (token.text in _OPENING) - (token.text in _CLOSING)
            has_comma |= depth == 0 and token.text == ","
    if has_comma:
        last = _last(line, start, end)
        line[start].text += " ("
        line[last].text += ")"


def _tuple_parameters(line: list[_Token]) -> None:
    """Each tuple among the parameters of a `def` or `lambda` as one name."""
    for at, token in enumerate(line):
        if token.kind == "name" and token.text in ("def", "lambda"):
            depth = 0 if token.text == "lambda" else -1
            _replace_tuples(line, at + 1, depth)


def _replace_tuples(line: list[_Token], at: int, depth: int) -> None:
    before = ","
    while at < len(line):
        token = line[at]
        if token.kind not in _BLANK:
            if token.kind == "operator" and token.text in _OPENING:
                if depth == 0 and token.text == "(" and before == ",":
                    at = _drop_group(line, at)
                    before = "name"
                    continue
                depth += 1
                before = "," if depth == 0 else token.text
                at += 1
                continue
            if token.kind == "operator" and token.text in _CLOSING:
                depth -= 1
            if depth < 0 and token.kind == "operator" and token.text in _CLOSING:
                return
            if depth == 0 and token.text == ":":
                return
            before = token.text
        at += 1


def _drop_group(line: list[_Token], at: int) -> int:
    """Write a group in parentheses as a name, and return where the rest begins. Its line breaks stay."""
    depth, first = 0, at
    while at < len(line):
        token = line[at]
        if token.kind == "operator":
            depth += (token.text in _OPENING) - (token.text in _CLOSING)
        if token.kind not in ("newline", "joined"):
            token.text = ""
        at += 1
        if depth == 0:
            break
    line[first].text = f"_tuple{first}"
    return at
