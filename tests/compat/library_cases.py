# -*- coding: utf-8 -*-
"""What an app may expect of google.appengine.api.channel: run inside an app's own interpreter, Python 2.7 or 3.

`python library_cases.py`, with CHANNEL_EMULATOR_HOST naming a running emulator and PYTHONPATH leading to the library.
"""

import json
import os
import pickle
import time
import unittest

from google.appengine.api import channel
from google.appengine.runtime import DeadlineExceededError, apiproxy_errors

try:
    from http.client import HTTPConnection
except ImportError:  # Python 2
    from httplib import HTTPConnection

try:
    text_type = unicode
except NameError:  # Python 3
    text_type = str

ADDRESS = os.environ["CHANNEL_EMULATOR_HOST"]


def get(path):
    connection = HTTPConnection(ADDRESS, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode("utf-8")
    connection.close()
    return answer.status, body


def open_socket(token):
    status, body = get("/_ah/channel/open?channel=" + token)
    assert status == 200, body
    return json.loads(body)


def receive(socket):
    status, body = get("/_ah/channel/poll?after=0&wait=5&socket=" + socket["socket"])
    assert status == 200, body
    return json.loads(body)["messages"]


class Library(unittest.TestCase):
    def refused(self, error, text, function, *arguments):
        try:
            function(*arguments)
        except error as raised:
            self.assertTrue(isinstance(raised, channel.Error))
            self.assertEqual(str(raised), text)
        else:
            self.fail("not refused")

    def test_a_message_arrives(self):
        token = channel.create_channel("one")
        self.assertTrue(isinstance(token, str), type(token))
        socket = open_socket(token)
        self.assertEqual(socket["client"], "one")
        self.assertTrue(7100 < socket["expires"] <= 7200, socket["expires"])
        self.assertEqual(channel.send_message("one", "hello"), None)
        channel.send_message(token, "by its token")
        self.assertEqual(receive(socket), ["hello", "by its token"])

    def test_every_script_and_every_byte(self):
        for number, client_id in enumerate([u"b\xf6b@example.com/\u65e5\u672c", u"a b&c+d%20", u"\U0001f600"]):
            socket = open_socket(channel.create_channel(client_id))
            self.assertEqual(socket["client"], client_id)
            message = u"\u0000\n<b>&amp;\u2028 \U0001f600 %d" % number
            channel.send_message(client_id, message)
            channel.send_message(client_id.encode("utf-8") if str is bytes else client_id, "second")
            self.assertEqual(receive(socket), [message, "second"])

    def test_duration(self):
        socket = open_socket(channel.create_channel("short", duration_minutes=1))
        self.assertTrue(50 < socket["expires"] <= 60, socket["expires"])
        socket = open_socket(channel.create_channel("long", 1440))
        self.assertTrue(86300 < socket["expires"] <= 86400, socket["expires"])
        wrong = channel.InvalidChannelTokenDurationError
        self.refused(wrong, "Argument duration_minutes must be integral", channel.create_channel, "x", "5")
        self.refused(wrong, "Argument duration_minutes must be integral", channel.create_channel, "x", 5.0)
        self.refused(wrong, "Argument duration_minutes must not be less than 1", channel.create_channel, "x", 0)
        self.refused(wrong, "Argument duration_minutes must be less than 1441", channel.create_channel, "x", 1441)

    def test_client_ids(self):
        wrong = channel.InvalidChannelClientIdError
        channel.create_channel("x" * 256)
        text = "Client id length 257 is greater than max length 256"
        self.refused(wrong, text, channel.create_channel, "x" * 257)
        self.refused(wrong, text, channel.create_channel, u"\xe9" * 128 + u"x")
        self.refused(wrong, '"5" is not a string.', channel.create_channel, 5)
        self.refused(wrong, '"None" is not a string.', channel.send_message, None, "x")
        self.assertRaises(wrong, channel.create_channel, "")

    def test_messages(self):
        wrong = channel.InvalidMessageError
        socket = open_socket(channel.create_channel("big"))
        channel.send_message("big", "x" * 32767)
        self.assertEqual(receive(socket), ["x" * 32767])
        text = "Message must be no longer than 32767 chars"
        self.refused(wrong, text, channel.send_message, "big", "x" * 32768)
        self.refused(wrong, text, channel.send_message, "big", u"\xe9" * 16384)
        self.refused(wrong, "Message must be a string", channel.send_message, "big", 5)
        self.assertRaises(wrong, channel.send_message, "big", "")

    def test_sends_to_nobody_succeed(self):
        channel.send_message("never created", "x")
        channel.create_channel("created only")
        channel.send_message("created only", "x")

    def test_bytes_that_are_not_utf8(self):
        if str is not bytes:
            return  # Python 3 refuses bytes, as it would any other type.
        socket = open_socket(channel.create_channel("mended"))
        channel.send_message("mended", b"a\xffb")
        self.assertEqual(receive(socket), [u"a\ufffdb"])

    def test_its_names(self):
        self.assertEqual(channel.MAXIMUM_CLIENT_ID_LENGTH, 256)
        self.assertEqual(channel.MAXIMUM_TOKEN_DURATION_MINUTES, 1440)
        self.assertEqual(channel.MAXIMUM_MESSAGE_LENGTH, 32767)
        self.assertTrue(issubclass(channel.AppIdAliasRequired, channel.Error))
        from google.appengine.api.channel import channel as inner

        self.assertTrue(inner.send_message is channel.send_message)
        for software, name in [("Development/2.0", "channel"), ("testbed", "channel"), ("Google App Engine/1", "xmpp")]:
            os.environ["SERVER_SOFTWARE"] = software
            self.assertEqual(inner._GetService(), name)

    def test_send_message_can_be_pickled(self):
        # deferred.defer(channel.send_message, ...) does.
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            function = pickle.loads(pickle.dumps(channel.send_message, protocol))
            self.assertTrue(function is channel.send_message)

    def test_the_deadline(self):
        self.assertTrue(issubclass(DeadlineExceededError, BaseException))
        self.assertFalse(issubclass(DeadlineExceededError, Exception))
        self.assertTrue(issubclass(apiproxy_errors.DeadlineExceededError, apiproxy_errors.Error))
        text = "The overall deadline for responding to the HTTP request was exceeded."
        self.assertEqual(str(DeadlineExceededError()), text)

    def test_an_emulator_that_is_away(self):
        nobody = "127.0.0.1:9"
        os.environ["CHANNEL_EMULATOR_HOST"] = nobody
        started = time.time()
        try:
            channel.send_message("x", "y")
        except apiproxy_errors.RPCFailedError as error:
            self.assertTrue(nobody in str(error), str(error))
        else:
            self.fail("no error")
        finally:
            os.environ["CHANNEL_EMULATOR_HOST"] = ADDRESS
        self.assertTrue(time.time() - started < 5.5)

    def test_no_address_at_all(self):
        del os.environ["CHANNEL_EMULATOR_HOST"]
        try:
            self.assertRaises(apiproxy_errors.RPCFailedError, channel.create_channel, "x")
        finally:
            os.environ["CHANNEL_EMULATOR_HOST"] = ADDRESS


if __name__ == "__main__":
    unittest.main()
