"""What the runtime of Python 2.5 had and the SDK no longer has, for apps of `runtime: python` (Python 2.7).

The SDK still carries most of that runtime: its webapp, the templates of the app's own Django. It takes them where
APPENGINE_RUNTIME says `python`. Ours is what it has dropped: `google.appengine.dist` with `use_library`
(behaviour.md 8; facts.md 9.1), and the libraries that every app could import.
"""

import os
import sys
import types

import google

LIBRARIES = os.path.join(os.path.dirname(os.path.dirname(google.__file__)), "lib")
ON_THE_PATH = ("webob_0_9", "ipaddr", "antlr3", "simplejson", "fancy_urllib")
"""Importable without a word in app.yaml; in front of the SDK's own choice, whose webob is not the one of webapp."""

DEFAULT = "0.96"
STAND_IN = "1.2"
"""What app.yaml is given where its author names no Django."""

VERSIONS = {"django": ("0.96", "1.0", "1.1", "1.2", "1.3")}
"""What `use_library` knew."""

STUBS = ("ftplib", "httplib", "select", "socket", "subprocess", "tempfile")
RENAMED = {"py_imp": "imp", "py_zipimport": "zipimport"}

DIST = "google.appengine.dist"
IN_USE = "%s %s was requested, but %s is already in use"

installed = {}
"""Of each library the version that was asked for, and whether the app did so; as the real one kept it."""


class UnacceptableVersionError(Exception):
    """Another version of the library is already in use."""


def is_for(config):
    """Whether the app is one for Python 2.5: launcher.py has put that into its environment."""
    return any((each.key, each.value) == ("APPENGINE_RUNTIME", "python") for each in config.environ)


def prepare(config):
    """Before the sandbox closes: what it and the request handler shall know of the app."""
    # Apps go through their environment, where the SDK has a bool; to WSGI this is as false.
    config.environ.add(key="wsgi.multithread", value="")
    for library in config.libraries:
        if library.name == "django" and library.version != STAND_IN:
            installed["django"] = str(library.version), False
    # Where Python 2.7 has it; the runtime had it without being asked.
    config.libraries.add(name="pycrypto", version="2.6")


def install():
    """Called when the sandbox is closed, before the first module of the app is imported."""
    from google.appengine.api import lib_config

    sys.path[1:1] = [folder for folder in map(_folder, ON_THE_PATH) if os.path.isdir(folder)]
    _make_dist()
    _take_unicode_cookies()
    register = lib_config.register
    # Known before webapp is imported, or appengine_config.py would be said to set what nobody knows.
    register("webapp", {"django_setup": None, "django_version": None})

    def registered(prefix, mapping):
        handle = register(prefix, mapping)
        if "django_setup" in mapping:
            handle._update_defaults({"django_setup": lambda: _set_up_django(handle, mapping["django_setup"])})
        return handle

    lib_config.register = registered


def use_library(name, version):
    """Have `import name` give this version from now on, as `google.appengine.dist.use_library` did.

    The nearest, with a warning, where the SDK lacks it. Raises ValueError for what never could be chosen, and
    `UnacceptableVersionError` when another one is in use.
    """
    if name not in VERSIONS:
        raise ValueError("%s is not a supported package" % name)
    if version not in VERSIONS[name]:
        known = (version, name, list(VERSIONS[name]))
        raise ValueError("%s is not a supported version for %s; supported versions are %s" % known)
    served = nearest(version, _shipped(name))
    asked, explicit = installed.get(name, (None, False))
    if name not in sys.modules:
        _select(name, served)
    elif explicit and asked != version:
        in_use = _version_in_use(name)
        stands_in = not in_use.startswith(asked + ".")
        raise UnacceptableVersionError(IN_USE % (name, version, asked if stands_in else in_use))
    in_use = _version_in_use(name)
    if not in_use.startswith((version + ".", served + ".")):
        raise UnacceptableVersionError(IN_USE % (name, version, in_use))
    if (asked, explicit) != (version, True) and not in_use.startswith(version + "."):
        _warn("%s %s was requested, which this SDK lacks: %s is used instead.", name, version, in_use)
    installed[name] = version, True
    if "django.template" in sys.modules:
        _escape_by_default(version != DEFAULT)


def nearest(version, shipped):
    """The lowest of the `shipped` versions that is no older, else the newest."""
    newer = [each for each in shipped if _numbers(each) >= _numbers(version)]
    return min(newer, key=_numbers) if newer else max(shipped, key=_numbers)


def _numbers(version):
    return [int(part) for part in version.split(".")]


def _folder(library):
    return os.path.join(LIBRARIES, library)


def _shipped(name):
    """Those versions that could be chosen and are here."""
    return [version for version in VERSIONS[name] if os.path.isdir(_folder("%s-%s" % (name, version)))]


def _select(name, version):
    others = _folder(name + "-")
    sys.path[:] = [folder for folder in sys.path if not folder.startswith(others)]
    sys.path.insert(1, others + version)


def _version_in_use(name):
    return ".".join(str(part) for part in __import__(name).VERSION)


def _warn(text, *values):
    import logging

    logging.warning(text, *values)


def _set_up_django(handle, set_up):
    """What webapp does before its templates are first used; the version may stand in appengine_config.py."""
    if handle.django_version is not None:
        use_library("django", str(handle.django_version))
    elif "django" not in installed and _is_the_sdks("django"):
        installed["django"] = DEFAULT, False
        _warn(
            "The app has not called use_library: App Engine gave it Django %s, which this SDK lacks; %s is used instead.",
            DEFAULT,
            _version_in_use("django"),
        )
    set_up()
    if not _is_the_sdks("django"):
        return
    asked, _ = installed["django"]
    if asked in VERSIONS["django"] and not _version_in_use("django").startswith(asked + "."):
        _import_libraries_of_the_top_level()
    if asked == DEFAULT:
        _escape_by_default(False)


def _is_the_sdks(name):
    return __import__(name).__file__.startswith(os.path.join(LIBRARIES, ""))


def _escape_by_default(wanted):
    """Django 0.96 escaped nothing by itself, and templates that were written for it count on that."""
    from django.template.context import Context

    function = Context.__init__.im_func
    names = function.func_code.co_varnames[1 : function.func_code.co_argcount]
    if "autoescape" in names:
        defaults = list(function.func_defaults)
        defaults[names.index("autoescape") - len(names)] = wanted
        function.func_defaults = tuple(defaults)


def _import_libraries_of_the_top_level():
    """Before Django 1.2 `register_template_library("filters")` could name a module that lies in no package."""
    import django.template

    # Of 1.2 and of 1.3 it is another.
    module = sys.modules[django.template.Library.__module__]
    import_library = module.import_library

    def import_any(name):
        return import_library(name) if "." in name else __import__(name).register

    module.import_library = import_any


def _take_unicode_cookies():
    """`SimpleCookie.load(u"")` does nothing in Python 2.5, and is an AttributeError in 2.7.

    Libraries for sessions do it: `cookie.load(os.environ.get(u"HTTP_COOKIE", u""))`.
    """
    import Cookie

    load = Cookie.BaseCookie.load

    def load_text(cookie, rawdata):
        load(cookie, rawdata.encode("utf-8") if isinstance(rawdata, unicode) else rawdata)

    Cookie.BaseCookie.load = load_text


def _make_dist():
    """The package `google.appengine.dist`, where the SDK has none."""
    import google.appengine

    if os.path.isdir(os.path.join(os.path.dirname(google.appengine.__file__), "dist")):
        return
    library = types.ModuleType(DIST + "._library")
    library.__dict__.update(
        use_library=use_library,
        installed=installed,
        UnacceptableVersionError=UnacceptableVersionError,
        PYTHON_LIB=os.path.dirname(LIBRARIES),
    )
    dist = types.ModuleType(DIST)
    dist.__path__ = []
    dist._library = library
    dist.use_library = use_library
    google.appengine.dist = dist
    sys.modules[DIST] = dist
    sys.modules[library.__name__] = library
    sys.meta_path.insert(0, _Stubs())


class _Stubs(object):
    """Modules of the standard library as `google.appengine.dist` had them; the sandbox has put its own in place."""

    def find_module(self, name, path=None):
        package, _, last = name.rpartition(".")
        return self if package == DIST and (last in STUBS or last in RENAMED) else None

    def load_module(self, name):
        last = name.rpartition(".")[2]
        module = sys.modules[name] = __import__(RENAMED.get(last, last))
        return module
