"""What texts of errors have in common."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

LONGEST_QUOTED = 80
"""Characters of a name that a text quotes."""


def quoted(name: str) -> str:
    """`name`, which may be anybody's, in quotation marks on one line, so that what looks alike can be told apart.

    It stands as it is if all of it can be seen. Otherwise white space, control characters and whatever is not in the
    usual normal form of Unicode are written as escapes.
    """
    shown = name if len(name) <= LONGEST_QUOTED else f"{name[: LONGEST_QUOTED - 1]}…"
    if not (shown.isprintable() and unicodedata.is_normalized("NFC", shown)):
        shown = shown.encode("unicode_escape").decode("ascii")
    else:
        shown = shown.replace("\\", "\\\\")
    return '"' + shown.replace('"', '\\"') + '"'


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause that names the one of `known` that `name` was perhaps meant to be; empty if none is near."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def reason(error: BaseException) -> str:
    """What went wrong, in the system's words if they are there, without a full stop."""
    return (getattr(error, "strerror", None) or str(error).strip() or type(error).__name__).rstrip(".")


def no_room(what: str, error: OSError) -> str:
    """That `what`, such as an answer, cannot be kept until it is whole, and what to do about it."""
    return (
        f"The emulator's temporary folder has no room for {what}: {reason(error)}. "
        "Free some space there, or set TMPDIR to another folder."
    )


def why_no_answer(error: BaseException) -> str:
    """Why a server gave no answer, in the system's words: what stands behind an error of a library for HTTP."""
    while (behind := getattr(error, "reason", None) or error.__cause__ or error.__context__) is not None:
        if not isinstance(behind, BaseException):
            break
        error = behind
    return reason(error)
