# -*- coding: utf-8 -*-
"""The limits of the Channel API and its errors, as an app meets them (Python 2.7 and 3).

What the SDK's own library and its dev server do with each call; `outcomes` says what is done where it runs.
"""

import sys

from google.appengine.api import channel

EURO, E_ACUTE = u"\u20ac", u"\xe9"  # Three bytes of UTF-8, and two.
MODULE = "google.appengine.api.channel.channel."
CLIENT_ID = MODULE + "InvalidChannelClientIdError"
DURATION = MODULE + "InvalidChannelTokenDurationError"
MESSAGE = MODULE + "InvalidMessageError"

TOKEN, SENT = "a token", "sent"
TOO_LONG = CLIENT_ID + ": Client id length 257 is greater than max length 256"
BELOW = DURATION + ": Argument duration_minutes must not be less than 1"
ABOVE = DURATION + ": Argument duration_minutes must be less than 1441"
NOT_INTEGRAL = DURATION + ": Argument duration_minutes must be integral"
TOO_BIG = MESSAGE + ": Message must be no longer than 32767 chars"
NO_STRING = MESSAGE + ": Message must be a string"


def not_a_string(text):
    return '%s: "%s" is not a string.' % (CLIENT_ID, text)


# Arguments, and what comes of them. Where the service refuses and not the library, the class alone counts.
CREATE = [
    (("a",), TOKEN),
    ((u"a",), TOKEN),
    (("a b/c:d@e&f%20-",), TOKEN),
    ((u"\u65e5\u672c\U0001f600",), TOKEN),
    (("x" * 256,), TOKEN),
    (("x" * 257,), TOO_LONG),
    ((E_ACUTE * 128,), TOKEN),
    ((E_ACUTE * 128 + u"x",), TOO_LONG),
    (("",), CLIENT_ID),
    ((u"",), CLIENT_ID),
    ((7,), not_a_string("7")),
    ((1.5,), not_a_string("1.5")),
    ((None,), not_a_string("None")),
    (([],), not_a_string("[]")),
    (("a", None), TOKEN),
    (("a", 1), TOKEN),
    (("a", True), TOKEN),
    (("a", 1440), TOKEN),
    (("a", 0), BELOW),
    (("a", False), BELOW),
    (("a", -1), BELOW),
    (("a", -(10**20)), BELOW),
    (("a", 1441), ABOVE),
    (("a", 10**20), ABOVE),
    (("a", 5.0), NOT_INTEGRAL),
    (("a", "5"), NOT_INTEGRAL),
    (("a", ""), NOT_INTEGRAL),
    (("a", []), NOT_INTEGRAL),
    (("x" * 257, 0), TOO_LONG),
]
SEND = [
    (("a", "x"), SENT),
    (("a", u"x"), SENT),
    (("a", "x" * 32767), SENT),
    (("a", "x" * 32768), TOO_BIG),
    (("a", EURO * 10922), SENT),
    (("a", EURO * 10923), TOO_BIG),
    (("a", u"\0\u2028\U0001f600"), SENT),
    (("a", ""), MESSAGE),
    (("a", u""), MESSAGE),
    (("a", 7), NO_STRING),
    (("a", None), NO_STRING),
    (("a", {"a": 1}), NO_STRING),
    (("nobody", "x"), SENT),
    (("", "x"), SENT),
    (("x" * 256, "x"), SENT),
    (("x" * 257, "x"), TOO_LONG),
    ((E_ACUTE * 128 + u"x", "x"), TOO_LONG),
    ((7, "x"), not_a_string("7")),
    ((None, "x"), not_a_string("None")),
    (("x" * 257, 7), TOO_LONG),
]
if sys.version_info[0] == 2:
    # There a str is bytes, of whichever encoding.
    SEND.append((("a", "\xff\xfe"), SENT))


def outcome(function, *arguments, **named):
    try:
        value = function(*arguments, **named)
    except Exception as error:
        return "%s.%s: %s" % (type(error).__module__, type(error).__name__, error)
    if value is None:
        return SENT
    return TOKEN if type(value) is str and len(value) >= 20 else repr(value)


def outcomes():
    """Of each call: what it is, what is expected, what came."""
    calls = [(channel.create_channel, case) for case in CREATE] + [(channel.send_message, case) for case in SEND]
    found = [
        ("%s%s" % (function.__name__, repr(arguments)[:80]), expected, outcome(function, *arguments))
        for function, (arguments, expected) in calls
    ]
    token = channel.create_channel(client_id="by name", duration_minutes=5)
    found += [
        ("create_channel by name", TOKEN, outcome(channel.create_channel, client_id="a", duration_minutes=5)),
        ("send_message by name", SENT, outcome(channel.send_message, client_id="a", message="x")),
        ("a token is no client id", SENT, outcome(channel.send_message, token, "x")),
        ("another token each time", "True", str(token != channel.create_channel("by name", 5))),
        ("the longest client id", "256", str(channel.MAXIMUM_CLIENT_ID_LENGTH)),
        ("the longest duration", "1440", str(channel.MAXIMUM_TOKEN_DURATION_MINUTES)),
        ("the longest message", "32767", str(channel.MAXIMUM_MESSAGE_LENGTH)),
    ]
    for name in ("InvalidChannelClientIdError", "InvalidChannelTokenDurationError", "InvalidMessageError",
                 "AppIdAliasRequired"):  # fmt: skip
        found.append((name + " is an Error", "True", str(issubclass(getattr(channel, name), channel.Error))))
    return found
