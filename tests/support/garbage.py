"""What only the garbage collector can free: each poll and stream is to go by itself when it has ended."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_garbage_of(*names: str) -> Iterator[None]:
    """Fails where the block leaves objects of classes of these names to the collector.

    By name: what other tests left behind in this process is not looked at.
    """
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not {type(thing).__name__ for thing in gc.garbage} & set(names)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
