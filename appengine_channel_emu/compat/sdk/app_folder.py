"""Keeps compiled files out of the app's folder (Python 2.7)."""

import os
import sys

import google

# The sandbox's own is slow, and asked for every import.
_stat = os.stat


class CompiledAtHome(object):
    """Asked first about every import; says nothing, but decides whether the interpreter may write a .pyc file.

    The SDK's own modules and Python's keep theirs: without them every start would compile the libraries that the app
    uses. Nothing else does, by whatever path the app finds it: a vendored folder, a link, a relative entry of sys.path.
    """

    def __init__(self, root):
        sdk = os.path.dirname(os.path.dirname(google.__file__))
        homes = (os.path.join(sdk, "google"), os.path.join(sdk, "lib"), os.path.dirname(os.__file__))
        self._homes = tuple(os.path.join(os.path.abspath(home), "") for home in homes)
        self._root = os.path.join(root, "")
        self._never = sys.dont_write_bytecode

    def find_module(self, name, path=None):
        last = name.rpartition(".")[2]
        places = [os.path.join(_as_bytes(folder), last) for folder in (sys.path if path is None else path)]
        self.decide(next((place for place in places if _is_module(place)), None))

    def decide(self, place):
        """`place` is where the module is, None where that is not known."""
        home = place is not None and place.startswith(self._homes) and not place.startswith(self._root)
        sys.dont_write_bytecode = self._never or not home


def keep_clean(root):
    """Called when the sandbox is closed, before the first module of the app is imported."""
    compiled = CompiledAtHome(root)
    sys.meta_path.insert(0, compiled)
    # The app's `imp`, which is not the SDK's. These two look for nothing, and so are not preceded by a question.
    import imp

    for name, at in (("load_source", 1), ("load_module", 2)):
        setattr(imp, name, _deciding(compiled, getattr(imp, name), at))


def _deciding(compiled, load, at):
    def load_after_decision(*arguments):
        compiled.decide(_as_bytes(arguments[at]) if len(arguments) > at else None)
        return load(*arguments)

    return load_after_decision


def _as_bytes(path):
    if isinstance(path, unicode):
        return path.encode(sys.getfilesystemencoding() or "utf-8", "replace")
    return str(path)


def _is_module(place):
    return _exists(place + ".py") or _exists(os.path.join(place, "__init__.py"))


def _exists(path):
    try:
        _stat(path)
    except (EnvironmentError, TypeError):
        return False
    return True
