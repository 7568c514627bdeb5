"""The cases of tests/compat/library_cases.py on Google's own library, under Python 2.7.

`python2.7 sdk_library.py SDK_FOLDER remote_api|bridge|api_port ADDRESS CASES_FOLDER SERVER_SOFTWARE`: the SDK's stub
for remote_api, or one that posts to ADDRESS as the Managed VM's does (facts.md 2.3).
"""

import os
import sys
import unittest

SDK, WAY, ADDRESS, CASES, SOFTWARE = sys.argv[1:]
os.environ["SERVER_SOFTWARE"] = SOFTWARE
sys.path.insert(0, SDK)

import dev_appserver

dev_appserver.fix_sys_path()
sys.path.append(CASES)

import httplib

from google.appengine.api import apiproxy_rpc, apiproxy_stub_map
from google.appengine.ext.remote_api import remote_api_pb, remote_api_stub
from google.appengine.runtime import apiproxy_errors

RPC_ERRORS = {1: apiproxy_errors.CallNotFoundError, 2: apiproxy_errors.ArgumentError}


class Bridge(object):
    """Posts each call, chunked every second time, and reads the answer's fields in the Managed VM's order."""

    def __init__(self, path):
        self.path = path
        self.connection = httplib.HTTPConnection(ADDRESS)
        self.calls = 0

    def CreateRPC(self):
        return apiproxy_rpc.RPC(stub=self)

    def MakeSyncCall(self, service, call, request, response):
        wanted = remote_api_pb.Request()
        wanted.set_service_name(service)
        wanted.set_method(call)
        wanted.set_request(request.Encode())
        wanted.set_request_id("any ticket")
        answer = remote_api_pb.Response()
        answer.ParseFromString(self.post(wanted.Encode()))
        if answer.has_rpc_error():
            raise RPC_ERRORS[answer.rpc_error().code()](answer.rpc_error().detail())
        if answer.has_application_error():
            error = answer.application_error()
            raise apiproxy_errors.ApplicationError(error.code(), error.detail())
        response.ParseFromString(answer.response())

    def post(self, body):
        self.calls += 1
        self.connection.putrequest("POST", self.path)
        self.connection.putheader("Content-Type", "application/octet-stream")
        self.connection.putheader("X-Google-RPC-Service-Endpoint", "app-engine-apis")
        if self.calls % 2:
            self.connection.putheader("Content-Length", str(len(body)))
            self.connection.endheaders(body)
        else:
            self.connection.putheader("Transfer-Encoding", "chunked")
            self.connection.endheaders("%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        answer = self.connection.getresponse()
        data = answer.read()
        assert answer.status == 200, (answer.status, data)
        assert answer.getheader("Content-Length") == str(len(data)), answer.getheaders()
        return data


if WAY == "remote_api":
    remote_api_stub.ConfigureRemoteApi(None, "/_ah/remote_api", lambda: ("test@example.com", ""), servername=ADDRESS)
    assert os.environ["APPLICATION_ID"].startswith("dev~")
else:
    apiproxy_stub_map.apiproxy = apiproxy_stub_map.APIProxyStubMap(Bridge("/rpc_http" if WAY == "bridge" else "/"))

import library_cases

assert library_cases.channel.__file__.startswith(SDK), library_cases.channel.__file__


class SdkLibrary(library_cases.Library):
    """Without the cases of our own library's address; with what only the SDK's can be asked."""

    test_an_emulator_that_is_away = test_no_address_at_all = None

    def test_a_call_that_is_not_served(self):
        from google.appengine.api import memcache
        from google.appengine.api.memcache import memcache_service_pb

        self.assertTrue(memcache.Client().get("x") is None)
        request, response = memcache_service_pb.MemcacheGetRequest(), memcache_service_pb.MemcacheGetResponse()
        request.add_key("x")
        self.assertRaises(
            apiproxy_errors.CallNotFoundError, apiproxy_stub_map.MakeSyncCall, "memcache", "Get", request, response
        )

    def test_a_duration_that_only_the_server_refuses(self):
        from google.appengine.api.channel import channel_service_pb

        request, response = channel_service_pb.CreateChannelRequest(), channel_service_pb.CreateChannelResponse()
        request.set_application_key("x")
        request.set_duration_minutes(1441)
        try:
            apiproxy_stub_map.MakeSyncCall("xmpp", "CreateChannel", request, response)
        except apiproxy_errors.ApplicationError as error:
            self.assertEqual(error.application_error, 4)
            self.assertTrue("1441" in error.error_detail)
        else:
            self.fail("not refused")


del library_cases.Library
unittest.main(argv=sys.argv[:1])
