"""Regular expressions that take a time linear in the length of the text, whatever a visitor sends.

Python's `re` tries one way after the other, and holds up the whole process meanwhile, every channel in it: a url such
as `/(.*)/(.*)x` takes it half a minute on a path of 60,000 slashes, one with a repeat inside a repeat years on one of
60. App Engine's own engine followed all ways at once. So does `Pattern` where `re` might be slow: as Pike's virtual
machine, a few microseconds for each character, in Python, so that other threads get their turns. Both find the same;
only what a group holds may differ, where the inside of an endless repeat can match nothing.

An expression that refers to its own groups, or looks ahead or behind, is left to `re`.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

try:
    from re import _parser as parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_parse as parser

MOST_STEPS = 1_000_000
"""A text on which `re` may take more is not given to it; it does some 50 million a second."""

LARGEST_PROGRAM = 500
"""Instructions; a count such as {1000} stands for as many copies."""

Test = Callable[[str], bool]
Check = Callable[[str, int], bool]


class Match(Protocol):
    """What a match has, of `re` or ours."""

    @property
    def string(self) -> str: ...
    def __getitem__(self, group: int | str, /) -> Any: ...
    def groupdict(self) -> dict[str, Any]: ...


class Pattern:
    """An expression, compiled."""

    def __init__(self, compiled: re.Pattern[str]) -> None:
        self._compiled = compiled
        self.pattern = compiled.pattern
        self.groups = compiled.groups
        self.groupindex = compiled.groupindex
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = parser.parse(compiled.pattern, compiled.flags)
        self._cost = _cost_of(tree)
        self._program: list[_Step] | None = None
        if self._cost.steps(1 << 20) > MOST_STEPS:
            with contextlib.suppress(_NotLinear):
                self._program = _Compiler(tree, compiled.flags).program

    @property
    def is_slow(self) -> bool:
        """Whether a path of 64 KiB may hold up the process: left to `re`, which may take long over it."""
        return self._program is None and self._cost.steps(1 << 16) > 100 * MOST_STEPS

    def match(self, text: str) -> Match | None:
        """The match at the beginning of `text`."""
        if self._program is None or self._cost.steps(len(text)) <= MOST_STEPS:
            return self._compiled.match(text)
        found = _run(self._program, text, self.groups)
        return None if found is None else _LinearMatch(text, found, self.groupindex)


class _LinearMatch:
    def __init__(self, text: str, marks: _Marks, names: Any) -> None:
        self.string = text
        self._marks = marks
        self._names = names

    def __getitem__(self, group: int | str) -> str | None:
        number = self._names.get(group) if isinstance(group, str) else group
        if number is None or not 0 <= 2 * number < len(self._marks):
            raise IndexError("no such group")
        start, end = self._marks[2 * number : 2 * number + 2]
        return None if start is None or end is None else self.string[start:end]

    def groupdict(self) -> dict[str, str | None]:
        return {name: self[name] for name in self._names}


class _Cost(NamedTuple):
    """An upper bound of the steps of `re`: `factor` times the length of the text to the power of `degree`."""

    factor: float
    degree: int

    def steps(self, length: int) -> float:
        return self.factor * float(length) ** self.degree


def _cost_of(tree: Any) -> _Cost:
    factor, degree = 1.0, 0
    for operation, argument in tree:
        cost = _cost_of_one(operation.name, argument)
        factor, degree = min(factor * cost.factor, float("inf")), degree + cost.degree
    return _Cost(factor, degree)


def _cost_of_one(name: str, argument: Any) -> _Cost:
    if name == "BRANCH":
        costs = [_cost_of(each) for each in argument[1]]
        return _Cost(sum(cost.factor for cost in costs), max(cost.degree for cost in costs))
    if name == "SUBPATTERN":
        return _cost_of(argument[3])
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        low, high, inner = argument
        each = _cost_of(inner)
        if each == (1.0, 0):
            return _Cost(1.0, 1) if high == parser.MAXREPEAT else _Cost(float(high - low + 1), 0)
        if high == 1:
            return _Cost(each.factor + 1, each.degree)
        return _Cost(float("inf"), 0)
    if name in ("ASSERT", "ASSERT_NOT"):
        return _cost_of(argument[1])
    if name == "GROUPREF_EXISTS":
        costs = [_cost_of(each) for each in argument[1:] if each is not None]
        return _Cost(max(cost.factor for cost in costs), max(cost.degree for cost in costs))
    if name == "ATOMIC_GROUP":
        return _cost_of(argument)
    return _Cost(1.0, 0)


class _NotLinear(Exception):
    """The expression has what only backtracking can do, or is too large."""


@dataclass(slots=True)
class _Step:
    """One instruction: a character that passes `test`, a place that passes `check`, a mark, or the ways to go on."""

    test: Test | None = None
    check: Check | None = None
    mark: int | None = None
    ways: tuple[int, ...] = ()


class _Compiler:
    """Makes the instructions of an expression; the last one is the end."""

    def __init__(self, tree: Any, flags: int) -> None:
        self._flags = re.RegexFlag(flags)
        self.program: list[_Step] = []
        self._add_mark(0)
        self._add_all(tree)
        self._add_mark(1)
        self._add(_Step())

    def _add(self, step: _Step) -> int:
        if len(self.program) >= LARGEST_PROGRAM:
            raise _NotLinear
        if not step.ways:
            step.ways = (len(self.program) + 1,)
        self.program.append(step)
        return len(self.program) - 1

    def _add_mark(self, mark: int) -> None:
        self._add(_Step(mark=mark))

    def _add_all(self, tree: Any) -> None:
        for operation, argument in tree:
            self._add_one(operation.name, argument)

    def _add_one(self, name: str, argument: Any) -> None:
        if name == "AT":
            self._add(_Step(check=_check(argument.name, self._flags)))
        elif name == "BRANCH":
            self._add_branch(argument[1])
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            self._add_repeat(*argument, greedy=name == "MAX_REPEAT")
        elif name == "SUBPATTERN":
            group, added, removed, tree = argument
            if added or removed:
                raise _NotLinear
            if group is not None:
                self._add_mark(2 * group)
            self._add_all(tree)
            if group is not None:
                self._add_mark(2 * group + 1)
        else:
            self._add(_Step(test=_test(name, argument, self._flags)))

    def _add_branch(self, trees: Any) -> None:
        fork = self._add(_Step())
        ways, ends = [], []
        for tree in trees:
            ways.append(len(self.program))
            self._add_all(tree)
            ends.append(self._add(_Step()))
        self.program[fork].ways = tuple(ways)
        for end in ends:
            self.program[end].ways = (len(self.program),)

    def _add_repeat(self, low: int, high: int, tree: Any, *, greedy: bool) -> None:
        for _ in range(low):
            again = len(self.program)
            self._add_all(tree)
        if high == parser.MAXREPEAT:
            # x* is (x+)?: so that a part that matches nothing does so once, as with `re`.
            leave = None if low else self._add(_Step())
            if not low:
                again = len(self.program)
                self._add_all(tree)
            loop = self._add(_Step())
            self._fork(loop, again, greedy)
            if leave is not None:
                self._fork(leave, leave + 1, greedy)
            return
        forks = []
        for _ in range(high - low):
            forks.append(self._add(_Step()))
            self._add_all(tree)
        for fork in forks:
            self._fork(fork, fork + 1, greedy)

    def _fork(self, at: int, on: int, greedy: bool) -> None:
        """Go `on` from `at`, or to what comes next in the program; which is tried first is what greedy means."""
        ways = (on, len(self.program))
        self.program[at].ways = ways if greedy else ways[::-1]


def _test(name: str, argument: Any, flags: re.RegexFlag) -> Test:
    """Whether one character is what an expression names."""
    if name == "ANY":
        return (lambda _: True) if flags & re.DOTALL else (lambda character: character != "\n")
    if name == "FAILURE":
        return lambda _: False
    if name == "LITERAL":
        return _in_either_case(chr(argument).__eq__, flags)
    if name == "NOT_LITERAL":
        same = _in_either_case(chr(argument).__eq__, flags)
        return lambda character: not same(character)
    if name == "IN":
        negated = argument[0][0].name == "NEGATE"
        tests = [_set_test(operation.name, each, flags) for operation, each in argument[negated:]]
        one = _in_either_case(lambda character: any(test(character) for test in tests), flags)
        return (lambda character: not one(character)) if negated else one
    raise _NotLinear


def _set_test(name: str, argument: Any, flags: re.RegexFlag) -> Test:
    if name == "LITERAL":
        return chr(argument).__eq__
    if name == "RANGE":
        low, high = argument
        return lambda character: low <= ord(character) <= high
    if name == "CATEGORY":
        kind = argument.name
        letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}[kind.rpartition("_")[2]]
        found = re.compile(f"\\{letter.upper() if '_NOT_' in kind else letter}", flags & re.ASCII).match
        return lambda character: found(character) is not None
    raise _NotLinear


def _in_either_case(test: Test, flags: re.RegexFlag) -> Test:
    if not flags & re.IGNORECASE:
        return test
    ascii_alone = bool(flags & re.ASCII)

    def in_either_case(character: str) -> bool:
        if ascii_alone and not character.isascii():
            return test(character)
        return test(character) or test(character.lower()) or test(character.upper())

    return in_either_case


def _check(name: str, flags: re.RegexFlag) -> Check:
    """Whether a place in the text is what an expression names."""
    lines = bool(flags & re.MULTILINE)
    word = re.compile(r"\w", flags & re.ASCII).match

    def is_boundary(text: str, at: int) -> bool:
        before, behind = at > 0 and word(text[at - 1]), at < len(text) and word(text[at])
        return bool(before) != bool(behind)

    checks: dict[str, Check] = {
        "AT_BEGINNING": lambda text, at: at == 0 or (lines and text[at - 1] == "\n"),
        "AT_BEGINNING_STRING": lambda _, at: at == 0,
        "AT_END": lambda text, at: at == len(text) or (text[at] == "\n" and (lines or at == len(text) - 1)),
        "AT_END_STRING": lambda text, at: at == len(text),
        "AT_BOUNDARY": is_boundary,
        # In a text of nothing there is neither, to `re`.
        "AT_NON_BOUNDARY": lambda text, at: text != "" and not is_boundary(text, at),
    }
    if name not in checks:
        raise _NotLinear
    return checks[name]


_Marks = tuple[int | None, ...]
_Threads = list[tuple[int, _Marks]]


def _run(program: list[_Step], text: str, groups: int) -> _Marks | None:
    """The marks of the match that `re` would have found first, None for no match."""
    end = len(program) - 1
    found: _Marks | None = None
    threads = _follow(program, text, 0, [(0, (None,) * (2 * groups + 2))])
    for at in range(len(text) + 1):
        moved: _Threads = []
        for place, marks in threads:
            if place == end:
                # What would be tried later does not count any more.
                found = marks
                break
            test = program[place].test
            if at < len(text) and test is not None and test(text[at]):
                moved.append((place + 1, marks))
        if not moved:
            break
        threads = _follow(program, text, at + 1, moved)
    return found


def _follow(program: list[_Step], text: str, at: int, threads: _Threads) -> _Threads:
    """Where these stand once they have done all that takes no character, in the order in which `re` would try them."""
    seen: set[int] = set()
    standing: _Threads = []
    stack = threads[::-1]
    while stack:
        place, marks = stack.pop()
        if place in seen:
            continue
        seen.add(place)
        step = program[place]
        if step.test is not None or place == len(program) - 1:
            standing.append((place, marks))
            continue
        if step.check is not None and not step.check(text, at):
            continue
        if step.mark is not None:
            marks = (*marks[: step.mark], at, *marks[step.mark + 1 :])
        stack += [(way, marks) for way in reversed(step.ways)]
    return standing
