"""Finds `google.appengine.api.channel` and what it needs, where no SDK has them.

Valid in Python 2.7 and 3, with the standard library alone. Whatever else provides a module of the same name goes
first: google-cloud packages, appengine-python-standard, an old SDK with a channel library of its own. So nothing is
ever hidden, and what is missing is there.
"""

import os
import sys
import threading

# Beside this file's folder, not in it: on sys.path it would hide every other package called google.
FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Name: whether it is a package.
MODULES = {
    "google": True,
    "google.appengine": True,
    "google.appengine.api": True,
    "google.appengine.api.channel": True,
    "google.appengine.api.channel.channel": False,
    "google.appengine.api.channel.connection": False,
    "google.appengine.api.users": False,
    "google.appengine.runtime": True,
    "google.appengine.runtime.apiproxy_errors": False,
}

# Our function, the field of the answer, and what stands for no destination (of a sign-in, the page of this request).
USER_CALLS = {
    "CreateLoginURL": ("create_login_url", "login_url", None),
    "CreateLogoutURL": ("create_logout_url", "logout_url", "/"),
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


_request = threading.local()


def begin_request(environ, request_id=None):
    """Let this thread's `os.environ` show the request's environ, until its next request; `request_id` names it.

    As on App Engine, where each request had an environment of its own: apps read the visitor's address, host and
    USER_EMAIL there, threads or not. What is written to `os.environ` is written to the process.
    """
    _request.environ = dict(
        (name, value)
        for name, value in environ.items()
        # A visitor's header "Proxy" must not become the proxy of the app's own requests (CVE-2016-5385 and others).
        if type(value) is str and "." not in name and "\0" not in value and name != "HTTP_PROXY"
    )
    _request.id = os.getpid(), request_id
    _layer_os_environ()
    _serve_user_urls()


def request_id():
    """What names the request that this thread handles; None in other threads, and in processes that it forked."""
    process, found = getattr(_request, "id", (None, None))
    return found if process == os.getpid() else None


def request_environ():
    """What `begin_request` was given for this thread; empty outside of requests."""
    return getattr(_request, "environ", {})


def _layer_os_environ():
    """Give `os.environ` its second layer. The object stays: whoever has imported it sees the same."""
    original = type(os.environ)
    if original.__name__ == "RequestEnviron" or sys.version_info[0] == 2:
        return

    class RequestEnviron(original):
        def __getitem__(self, name):
            found = request_environ()
            return found[name] if name in found else original.__getitem__(self, name)

        def __contains__(self, name):
            return name in request_environ() or name in list(original.__iter__(self))

        def __iter__(self):
            found = request_environ()
            own = list(original.__iter__(self))
            return iter(own + [name for name in found if name not in own])

        def __len__(self):
            return sum(1 for _ in self)

        def __setitem__(self, name, value):
            original.__setitem__(self, name, value)
            # The writer reads what it wrote.
            request_environ().pop(name, None)

        def __delitem__(self, name):
            layered = request_environ().pop(name, None) is not None
            if not layered or name in list(original.__iter__(self)):
                original.__delitem__(self, name)

    os.environ.__class__ = RequestEnviron


class UserStub(object):
    """The service `user`; what it does not know it leaves to `default`, the stub of all other services."""

    def __init__(self, ours, default):
        self._ours = ours
        self._default = default

    def MakeSyncCall(self, service, call, request, response, request_id=None):
        if call not in USER_CALLS:
            return self._default.MakeSyncCall(service, call, request, response)
        function, field, otherwise = USER_CALLS[call]
        setattr(response, field, getattr(self._ours, function)(request.destination_url or otherwise))


def _serve_user_urls():
    """Register the service where Google's own package, appengine-python-standard, has none.

    It would ask Google's servers for these addresses. Here they are those of the emulator's sign-in page, as without it.
    """
    package = sys.modules.get("google.appengine.api.apiproxy_stub_map")
    proxy = getattr(package, "apiproxy", None)
    if proxy is None:
        return
    default = proxy.GetStub("no service of this name")
    if default is not None and proxy.GetStub("user") is default:
        proxy.ReplaceStub("user", UserStub(_our_users(), default))


def _our_users():
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("channel_emu_our_users", _location("google.appengine.api.users"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
