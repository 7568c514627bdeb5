"""What can be found of a page that stays silent: a sentence each, what to do about it, and the words for both."""

from __future__ import annotations

from dataclasses import dataclass

ADVICE = {
    "empty": "Look where the app takes the client id from: it was an empty text.",
    "no_channel": "Send to the very client id that create_channel was given, and to the emulator that the page has "
    "open: another one, on another port, knows nothing of it.",
    "not_opened": "The page has to call new goog.appengine.Channel(token).open(). Its console (F12) says what stops "
    "it, such as a Content-Security-Policy that blocks /_ah/channel/jsapi. Send once the app is told at "
    "/_ah/channel/connected/.",
    "expired": "When onerror says 401, have the page ask the app for a new token. A token lasts for the "
    "duration_minutes that create_channel is given, or 2 hours.",
    "page_left": "Nothing is kept for a page that has left, here as on App Engine. Send once it is back: the app is "
    "told at /_ah/channel/connected/.",
    "grace": "Nothing is kept for a page that has left, here as on App Engine. The app hears of it only after "
    "--disconnect-after, in case the page was merely loaded again.",
    "overflow": "The page takes less than it is sent, or does not ask any more. --backlog and --backlog-bytes allow "
    "more.",
    "fault": "Take the fault away on the console, or with curl -X DELETE …/_emu/faults.",
    "not_utf8": "Have the app encode client ids in UTF-8.",
    "near": "Send to the client id letter by letter as create_channel was given it.",
    "open_refused": "Give the page the token that create_channel returned for it, from this emulator.",
    "call_refused": "The call has raised in the app. Its limits are those of App Engine.",
    "request_refused": "Whatever asked got no further. What is to be asked otherwise, or allowed, is said there.",
    "reset": "Load the pages again, so that they get new tokens.",
    "started": "It knows what was before only if its state was kept (--state-dir).",
    "away": "Its computer slept, or its network was gone, for longer than --resume-window. It opens anew when it is "
    "back.",
    "by_hand": "Somebody closed it on the console, or by /_emu/sockets. The page gets onclose.",
    "presence_slow": "The page's onopen waits half a second for it at most, and then comes. Look what the handler "
    "waits for.",
    "socket_send": "Let the page post to a handler of the app, and the app send to the other pages.",
    "held": "It leaves once that answer is there, and at the latest half a second after it was sent; "
    "--push-after-answer 0 lets it go at once.",
    "waiting": "The page is between two polls, its computer sleeps, or its network is gone. It gets the message if "
    "it comes back within --resume-window.",
    "lost": "Its socket ended first. Send again when the page has opened its channel.",
    "acknowledged": "The page's script has it. The names of handlers are in lower case: onmessage, not onMessage. "
    "They are taken when open() is called, or set on the socket that it returns.",
    "other_ids": "Are two client ids swapped? A page gets what is sent to the client id of its own token.",
    "presence_404": "Give the app a handler for POST of this path, or take channel_presence out of inbound_services.",
    "presence_failed": "The app's own log has the error. Without that call the app may not know of the page.",
    "presence_off": "List channel_presence under inbound_services in app.yaml, if the app waits to be told of its "
    "pages.",
    "csp_blocks": "Add to the page's Content-Security-Policy what its event says.",
    "frozen": "Meanwhile no token times out, and the app is not told of pages that leave. Let it go on on the "
    'console, or send {"frozen": false} to /_emu/clock.',
    "travelled": "What lasts, such as a token, is over so much earlier.",
    "split": "With --tabs=split each message goes to one of them, in turn; --tabs=fanout gives it to all.",
    "single": "With --tabs=single the newest page of a client id is its only one; --tabs=fanout lets all stay.",
    "opened_by": "With --tabs=split or single it takes messages that are meant for the page. Close it on the console.",
    "no_message": "Look whether the app has called send_message, for this client id and at this emulator.",
}
"""What to do about each kind of finding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason; `kind` is a key of `ADVICE`, `time` in seconds of the clock where it was at one moment."""

    kind: str
    text: str
    advice: str
    time: float | None = None


def found(kind: str, text: str, time: float | None = None, advice: str | None = None) -> Finding:
    """The finding of that kind, with its usual advice."""
    return Finding(kind, text, advice or ADVICE[kind], time)


def count(number: int, what: str = "message") -> str:
    """A number of things, in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def were(number: int) -> str:
    """The verb for so many that something was done to."""
    return "was" if number == 1 else "were"


def lower(sentence: str) -> str:
    """A sentence to go behind a colon."""
    return f"{sentence[:1].lower()}{sentence[1:]}"


def wait(number: int) -> str:
    """The verb for so many that wait."""
    return "waits" if number == 1 else "wait"
