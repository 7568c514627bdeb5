"""The sign-in and sign-out addresses for apps that use Google's own `google.appengine.api.users` under Python 3.

appengine-python-standard asks Google's servers for them. Here they are those of the emulator's sign-in page, as
without that package. Valid in Python 2.7 and 3, with the standard library alone.
"""

import sys

# Our function, the field of the answer, and what stands for no destination (of a sign-in, the page of this request).
CALLS = {
    "CreateLoginURL": ("create_login_url", "login_url", None),
    "CreateLogoutURL": ("create_logout_url", "logout_url", "/"),
}


class UserStub(object):
    """The service `user`; what it does not know it leaves to `default`, the stub of all other services."""

    def __init__(self, ours, default):
        self._ours = ours
        self._default = default

    def MakeSyncCall(self, service, call, request, response, request_id=None):
        if call not in CALLS:
            return self._default.MakeSyncCall(service, call, request, response)
        function, field, otherwise = CALLS[call]
        setattr(response, field, getattr(self._ours, function)(request.destination_url or otherwise))


def serve_urls(load_ours):
    """Register the service where Google's package has none of its own; `load_ours` gives our module of this API."""
    package = sys.modules.get("google.appengine.api.apiproxy_stub_map")
    proxy = getattr(package, "apiproxy", None)
    if proxy is None:
        return
    default = proxy.GetStub("no service of this name")
    if default is not None and proxy.GetStub("user") is default:
        proxy.ReplaceStub("user", UserStub(load_ours(), default))
