"""The WSGI callable of an app whose app.yaml names several scripts: hands each request to the one it is for.

All scripts live in one process, as they did on App Engine, and share its memory. Those that are known beforehand are
imported at the start; those whose name comes out of the url are imported when they are asked for. Standard library
only: it runs in the app's interpreter.
"""

import importlib
import importlib.machinery
import os
import sys
import traceback

KEY = "channel_emu.script"
FOLDER = os.path.realpath(os.getcwd())
FIXED = os.environ.pop("CHANNEL_EMU_SCRIPTS", "").split()

_loaded = {}


class ScriptMissing(Exception):
    """There is no such script in the app."""


def load(target):
    """The WSGI callable called "module:callable"."""
    found = _loaded.get(target)
    if found is None:
        module_name, _, attribute = target.partition(":")
        if target not in FIXED and not _is_the_apps(module_name):
            raise ScriptMissing(target)
        module = importlib.import_module(module_name)
        found = getattr(module, attribute, None)
        if not callable(found):
            raise ScriptMissing("The module %r has no WSGI callable %r." % (module_name, attribute))
        _loaded[target] = found
    return found


def _is_the_apps(module_name):
    """A visitor's url must not have other modules imported than those of the app's folder."""
    top = module_name.partition(".")[0]
    spec = importlib.machinery.PathFinder.find_spec(top, [FOLDER])
    return spec is not None and all(part.isidentifier() for part in module_name.split("."))


def app(environ, start_response):
    """Answer one request, by the script that the front has chosen."""
    target = environ.pop(KEY)
    try:
        script = load(target)
    except ScriptMissing as missing:
        if target in FIXED:
            raise
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [("There is no script for this url: %s.\n" % missing).encode("utf-8", "replace")]
    return script(environ, start_response)


def _load_fixed():
    """One script that is broken is no reason not to serve the others."""
    failures = 0
    for target in FIXED:
        try:
            load(target)
        except Exception:
            failures += 1
            if failures == len(FIXED):
                raise
            sys.stderr.write("The script %s cannot be loaded:\n" % target)
            traceback.print_exc()


_load_fixed()
