"""How an error of a test looks in its terminal: by a short name, and without frames of ours that say nothing of it."""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from typing import Any, TypeVar

OUR_MODULES = "appengine_channel_emu."

E = TypeVar("E", bound=type[BaseException])


def named_shortly(error: E) -> E:
    """A class of errors whose module is not shown before its name.

    Test runners cut the line that sums up a failure: "appengine_channel_emu.testing.client." would be most of it.
    pytest does the same with its own. It can be pickled all the same, as some runners do.
    """
    module, name = error.__module__, error.__qualname__
    error.__module__ = "builtins"
    copyreg.pickle(error, lambda raised: (_made_again, (module, name, raised.args)))
    return error


def _made_again(module: str, name: str, arguments: tuple[Any, ...]) -> BaseException:
    error: type[BaseException] = getattr(__import__(module, fromlist=[name]), name)
    made = error.__new__(error, *arguments)
    made.args = arguments
    return made


def hide_where(*errors: type[BaseException]) -> Callable[[Any], bool]:
    """For `__tracebackhide__`: pytest leaves the frame out where one of `errors` was raised, and shows it otherwise."""
    return lambda raised: isinstance(raised.value, errors)


def start_at_the_app(error: BaseException) -> None:
    """Leave out of its traceback the frames of ours that lead to the app's first."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_globals.get("__name__", "").startswith(OUR_MODULES):
        traceback = traceback.tb_next
    if traceback is not None:
        error.__traceback__ = traceback
