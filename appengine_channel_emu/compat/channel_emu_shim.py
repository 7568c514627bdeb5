"""Finds `google.appengine.api.channel` and what it needs, where no SDK has them.

Valid in Python 2.7 and 3, with the standard library alone. Whatever else provides a module of the same name goes
first: google-cloud packages, appengine-python-standard, an old SDK with a channel library of its own. So nothing is
ever hidden, and what is missing is there.
"""

import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))

# Name: whether it is a package.
MODULES = {
    "google": True,
    "google.appengine": True,
    "google.appengine.api": True,
    "google.appengine.api.channel": True,
    "google.appengine.api.channel.channel": False,
    "google.appengine.runtime": True,
    "google.appengine.runtime.apiproxy_errors": False,
}


def _location(name):
    parts = name.split(".")
    parts[-1:] = [parts[-1], "__init__.py"] if MODULES[name] else [parts[-1] + ".py"]
    return os.path.join(FOLDER, *parts)


class Python3Finder(object):
    """The last of the finders, so it is asked for what nobody else has."""

    def find_spec(self, name, path=None, target=None):
        if name not in MODULES:
            return None
        from importlib.util import spec_from_file_location

        location = _location(name)
        inside = [os.path.dirname(location)] if MODULES[name] else None
        return spec_from_file_location(name, location, submodule_search_locations=inside)


class Python2Finder(object):
    """Asked before the built-in import, so it looks itself whether somebody else has the module."""

    def find_module(self, name, path=None):
        if name not in MODULES:
            return None
        import imp

        try:
            imp.find_module(name.rpartition(".")[2], path)
        except ImportError:
            return self
        return None

    def load_module(self, name):
        import imp

        if name in sys.modules:
            return sys.modules[name]
        location = _location(name)
        if MODULES[name]:
            return imp.load_module(name, None, os.path.dirname(location), ("", "", imp.PKG_DIRECTORY))
        return imp.load_source(name, location)


def install():
    """Let the modules be found; calling it again does nothing."""
    finder = Python3Finder if sys.version_info[0] > 2 else Python2Finder
    # By name: the module may have been loaded twice.
    if not any(type(each).__name__ == finder.__name__ for each in sys.meta_path):
        sys.meta_path.append(finder())
