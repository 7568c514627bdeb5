"""Keeps compiled files out of the app's folder (Python 2.7)."""

import os
import sys


class CompiledNowhere(object):
    """Asked first about every import; says nothing, but decides whether the interpreter may write a .pyc file.

    The SDK's own modules keep theirs: without them every start would compile the libraries that the app uses.
    """

    def __init__(self, root):
        self._root = os.path.join(root, "")
        self._exists = os.path.exists

    def find_module(self, name, path=None):
        sys.dont_write_bytecode = self._is_in_app(name, path)

    def _is_in_app(self, name, path):
        if path is not None:
            return any(str(folder).startswith(self._root) for folder in path)
        place = self._root + name
        return self._exists(place + ".py") or self._exists(place)


def keep_clean(root):
    """Called when the sandbox is closed, before the first module of the app is imported."""
    sys.meta_path.insert(0, CompiledNowhere(root))
