"""create_channel and send_message for Python 2.7 and 3, with the standard library alone.

Arguments are checked, and refused in the words, of the SDK's own library (facts.md 1.1): apps have compared with them.
The emulator is asked at CHANNEL_EMULATOR_HOST (`host:port`).
"""

import base64
import json
import os
import sys

from google.appengine.api.channel.connection import post
from google.appengine.runtime import apiproxy_errors

try:
    TEXT, INTEGERS = (unicode,), (int, long)
except NameError:  # Python 3
    TEXT, INTEGERS = (str,), (int,)

MAXIMUM_CLIENT_ID_LENGTH = 256
MAXIMUM_TOKEN_DURATION_MINUTES = 24 * 60
MAXIMUM_MESSAGE_LENGTH = 32767


class Error(Exception):
    """The base of this module's errors."""


class InvalidChannelClientIdError(Error):
    """The client id is no string, or too long, or empty."""


class InvalidChannelTokenDurationError(Error):
    """The duration is not a whole number of minutes from 1 to 1440."""


class InvalidMessageError(Error):
    """The message is no string, or too long, or empty."""


class AppIdAliasRequired(Error):
    """The app needs an alias; the emulator never says so."""


def create_channel(client_id, duration_minutes=None):
    """A token, a `str`, with which a page can open a socket on the channel of `client_id`.

    `client_id` is text of 1 to 256 bytes of UTF-8. The token lasts `duration_minutes`, an integer from 1 to 1440, or 120
    minutes. Raises `InvalidChannelClientIdError`, `InvalidChannelTokenDurationError`, and
    `apiproxy_errors.RPCFailedError` where no emulator answers. (facts.md 1.1)
    """
    request = {"client_id": _text(_checked_client_id(client_id))}
    if duration_minutes is not None:
        request["duration_minutes"] = int(_checked_duration(duration_minutes))
    return str(_call("/_emu/channels", request)["token"])


def send_message(client_id, message):
    """Send `message`, text of 1 to 32767 bytes of UTF-8, to every page that has a socket of `client_id` open.

    Where there is none it is dropped, without an error. `client_id` may be a token instead. Raises
    `InvalidChannelClientIdError`, `InvalidMessageError`, and `apiproxy_errors.RPCFailedError` where no emulator answers:
    the message may have gone out by then, so nothing sends it again. (facts.md 1.0, 1.1)
    """
    request = {"client_id": _text(_checked_client_id(client_id))}
    message = _checked_message(message)
    try:
        request["message"] = message.decode("utf-8")
    except UnicodeDecodeError:
        # Python 2 apps can send such bytes; the emulator decides what becomes of them.
        request["message_base64"] = base64.b64encode(message).decode("ascii")
    sender = request_id()
    if sender is not None:
        request["request_id"] = sender
    _call("/_emu/messages", request)


def request_id():
    """What names the request that this thread handles, to the emulator; None where there is none.

    A message does not reach the browser of that request before the answer (behaviour.md 3). The SDK's runtime replaces
    this function.
    """
    shim = sys.modules.get("channel_emu_shim")
    return shim.request_id() if hasattr(shim, "request_id") else None


def transport(path, request):
    """POST `request`, a dict, as JSON to `path` of the emulator: the answer's status and its JSON, or text.

    A test in one process with the emulator replaces this function by one that asks it directly.
    """
    address = os.environ.get("CHANNEL_EMULATOR_HOST")
    if not address:
        raise apiproxy_errors.RPCFailedError(
            "CHANNEL_EMULATOR_HOST is not set: start the app with 'channel-emu serve' or 'channel-emu exec', "
            "or set it to the emulator's host:port"
        )
    status, content_type, body = post(address, path, json.dumps(request).encode("ascii"), "application/json")
    text = body.decode("utf-8")
    return status, json.loads(text) if (content_type or "").startswith("application/json") else text


def _call(path, request):
    status, answer = transport(path, request)
    if status == 200:
        return answer
    if isinstance(answer, dict):
        refusal = answer["error"]
        raise _error(refusal["code"], refusal["text"])
    raise apiproxy_errors.RPCFailedError("the Channel API emulator answered %d: %s" % (status, answer))


def _error(code, text):
    """Codes 1 and 4 have no class of their own in the SDK's library (facts.md 1.1)."""
    mapped = {2: InvalidChannelClientIdError, 3: InvalidMessageError, 5: AppIdAliasRequired}
    return mapped[code](text) if code in mapped else apiproxy_errors.ApplicationError(code, text)


def _GetService():
    """The name of the service that the SDK's library would call: apps and their tests ask."""
    software = os.environ.get("SERVER_SOFTWARE", "")
    return "channel" if software.startswith(("Devel", "test")) else "xmpp"


def _checked_client_id(client_id):
    if not isinstance(client_id, TEXT + (str,)):
        raise InvalidChannelClientIdError('"%s" is not a string.' % (client_id,))
    encoded = _encoded(client_id, InvalidChannelClientIdError)
    if len(encoded) > MAXIMUM_CLIENT_ID_LENGTH:
        raise InvalidChannelClientIdError(
            "Client id length %d is greater than max length %d" % (len(encoded), MAXIMUM_CLIENT_ID_LENGTH)
        )
    return encoded


def _checked_duration(minutes):
    if not isinstance(minutes, INTEGERS):
        raise InvalidChannelTokenDurationError("Argument duration_minutes must be integral")
    if minutes < 1:
        raise InvalidChannelTokenDurationError("Argument duration_minutes must not be less than 1")
    if minutes > MAXIMUM_TOKEN_DURATION_MINUTES:
        raise InvalidChannelTokenDurationError(
            "Argument duration_minutes must be less than %d" % (MAXIMUM_TOKEN_DURATION_MINUTES + 1)
        )
    return minutes


def _checked_message(message):
    if not isinstance(message, TEXT + (str,)):
        raise InvalidMessageError("Message must be a string")
    encoded = _encoded(message, InvalidMessageError)
    if len(encoded) > MAXIMUM_MESSAGE_LENGTH:
        raise InvalidMessageError("Message must be no longer than %d chars" % MAXIMUM_MESSAGE_LENGTH)
    return encoded


def _encoded(text, error):
    if not isinstance(text, TEXT):
        return text
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise error("A lone surrogate cannot be sent.")


def _text(encoded):
    try:
        return encoded.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidChannelClientIdError("A client id must be UTF-8.")
