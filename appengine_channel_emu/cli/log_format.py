"""Log lines that stay lines: what a visitor or an app puts into one neither begins another nor commands a terminal."""

from __future__ import annotations

import logging
import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL_IN_TRACEBACK = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    """`text` with its control characters written as escapes, line ends among them."""
    return _CONTROL.sub(_escaped, text)


def no_control(text: str) -> str:
    """The same, but line ends and tabs stay."""
    return _CONTROL_IN_TRACEBACK.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


class LineFormatter(logging.Formatter):
    """One line for each record; a traceback follows on lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """See logging."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:
        """See logging; the exception's text may hold anything."""
        return no_control(super().formatException(ei))  # type: ignore[arg-type]
