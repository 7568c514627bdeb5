"""The channel service of the SDK's runtime: its calls go to the emulator (Python 2.7).

The SDK's own client library stays, with its checks and texts; only what it calls is replaced. The calls travel as
`remote_api` messages, which is how the runtime talks to the SDK's own services.
"""

import imp
import json
import os
import sys
import types

COMPAT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIBRARY = os.path.join(COMPAT, "google", "appengine", "api", "channel")

# By its file: here it is no part of the SDK's package. In the sandbox it could open no connection.
connection = imp.load_source("channel_emu_connection", os.path.join(LIBRARY, "connection.py"))

CHANNEL_CALLS = ("CreateChannel", "SendChannelMessage")


def prepare(address):
    """What is needed of the file system, before the sandbox closes; returns what `install` is given."""
    return address, _client_library(address)


def install(prepared, request_id):
    """Replace the services `channel` and, for the channel's two methods, `xmpp`. Called when the sandbox is closed.

    `request_id()` is what names the request that the calling thread handles, or None.
    """
    from google.appengine.api import apiproxy_stub_map

    address, library = prepared
    proxy = apiproxy_stub_map.apiproxy
    channel = _channel_stub(address, request_id)
    proxy.ReplaceStub("channel", channel)
    proxy.ReplaceStub("xmpp", _XmppStub(channel, proxy.GetStub("xmpp")))
    if library is not None:
        library.install(request_id)


def _channel_stub(address, running_request):
    from google.appengine.api import apiproxy_rpc
    from google.appengine.ext.remote_api import remote_api_pb
    from google.appengine.runtime import apiproxy_errors

    class EmulatorChannelStub(object):
        def CreateRPC(self):
            return apiproxy_rpc.RPC(stub=self)

        def MakeSyncCall(self, service, call, request, response, request_id=None):
            envelope = remote_api_pb.Request()
            envelope.set_service_name("channel")
            envelope.set_method(call)
            envelope.set_request(request.Encode())
            sender = running_request()
            if sender is not None:
                envelope.set_request_id(sender)
            content_type = "application/octet-stream"
            status, _, data = connection.post(address, "/rpc_http", envelope.Encode(), content_type)
            if status != 200:
                raise apiproxy_errors.RPCFailedError(
                    "the Channel API emulator answered %d: %s" % (status, data[:200])
                )
            answer = remote_api_pb.Response(data)
            if answer.has_application_error():
                error = answer.application_error()
                raise apiproxy_errors.ApplicationError(error.code(), error.detail())
            if answer.has_rpc_error():
                raise apiproxy_errors.RPCFailedError(answer.rpc_error().detail())
            response.ParseFromString(answer.response())

    return EmulatorChannelStub()


class _XmppStub(object):
    """Production served channels under this name too (facts.md 1.0)."""

    def __init__(self, channel, xmpp):
        self._channel = channel
        self._xmpp = xmpp

    def CreateRPC(self):
        from google.appengine.api import apiproxy_rpc

        return apiproxy_rpc.RPC(stub=self)

    def MakeSyncCall(self, service, call, request, response, *more):
        stub = self._channel if call in CHANNEL_CALLS else self._xmpp
        return stub.MakeSyncCall(service, call, request, response, *more)

    def __getattr__(self, name):
        return getattr(self._xmpp, name)


class ClientLibrary(object):
    """Our own `google.appengine.api.channel`, for an SDK that has dropped it. Read before the sandbox closes."""

    def __init__(self, address):
        self._address = address
        self._sources = {}
        for name in ("channel.py", "__init__.py"):
            with open(os.path.join(LIBRARY, name)) as source:
                self._sources[name] = source.read()

    def install(self, request_id):
        """Make it importable; apps find it by the name that it had."""
        import google.appengine.api

        package = types.ModuleType("google.appengine.api.channel")
        module = types.ModuleType("google.appengine.api.channel.channel")
        package.__path__ = [LIBRARY] + _folders_of_the_package()
        sys.modules[package.__name__] = google.appengine.api.channel = package
        sys.modules[package.__name__ + ".connection"] = package.connection = connection
        sys.modules[module.__name__] = package.channel = module
        for each, name in ((module, "channel.py"), (package, "__init__.py")):
            each.__file__ = os.path.join(LIBRARY, name)
            exec(compile(self._sources[name], each.__file__, "exec"), each.__dict__)
        # An app's `os.environ` is its request's, which holds no address of ours.
        module.transport = self._transport
        module.request_id = request_id

    def _transport(self, path, request):
        status, _, data = connection.post(self._address, path, json.dumps(request), "application/json")
        return status, json.loads(data) if data.startswith("{") else data


def _client_library(address):
    """None where the SDK has its own."""
    if any(os.path.isfile(os.path.join(folder, "channel.py")) for folder in _folders_of_the_package()):
        return None
    return ClientLibrary(address)


def _folders_of_the_package():
    """Without the library, the SDK's other parts may still use the messages that lie beside it."""
    import google.appengine.api

    return [os.path.join(folder, "channel") for folder in google.appengine.api.__path__]
