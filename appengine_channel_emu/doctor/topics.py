"""Every kind of finding about an app: how serious it is, what happens here, what happened in production, what to do.

docs/doctor.md has the same as tables; `python -m tests.doctor.document` writes them. What production did is facts.md's.
"""

from __future__ import annotations

from dataclasses import dataclass

from appengine_channel_emu.doctor.diagnosis import Level

CALLS, PRESENCE, PAGES, WAITS, OLD, SERVICES, APP_YAML, FILES, RUN = (
    "calls of the Channel API", "presence", "pages", "handlers that wait", "idioms of Python 2.5",
    "services of the SDK", "app.yaml", "what was not looked at", "how it runs",
)  # fmt: skip
GROUPS = (RUN, CALLS, PRESENCE, PAGES, WAITS, OLD, SERVICES, APP_YAML, FILES)
"""In the order in which a report has them."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind. `what` is its title; the rest as in `Diagnosis`."""

    group: str
    level: Level
    what: str
    here: str = ""
    production: str = ""
    advice: str = ""


TOPICS: dict[str, Topic] = {
    "create_channel": Topic(
        CALLS, "ok", "makes a channel",
        "a token for this emulator, valid for two hours unless the call says otherwise; it outlives restarts",
        "the same; 100 channels a day were free",
    ),
    "send_message": Topic(
        CALLS, "ok", "sends a message",
        "every page of the client id has it at once; what reaches nobody is dropped, and the log says why",
        "the same, without a word about what was dropped",
    ),
    "send_deferred": Topic(
        CALLS, "ok", "sends a message from a task (deferred)",
        "with the SDK its task queue does it; under Python 3 there is no task queue",
        "a task queue did it",
        "app.yaml needs the builtin deferred, or a handler for /_ah/queue/deferred",
    ),
    "channel_name": Topic(CALLS, "ok", "names something else of the module: an error, a limit, the module itself",
                          "the same names are there"),
    "likely_call": Topic(
        CALLS, "note", "looks like a call of the Channel API, on something whose origin is not seen",
        "as above, if it is one", advice="look where the name comes from",
    ),
    "duration_refused": Topic(
        CALLS, "warning", "asks for a token of a length that there is none of",
        "InvalidChannelTokenDurationError", "the same: 1 to 1,440 whole minutes", "give 1 to 1440, or leave it out",
    ),
    "go_call": Topic(CALLS, "ok", "calls the Channel API in Go",
                     "google.golang.org/appengine/channel reaches the emulator through API_HOST and API_PORT",
                     "the same library", "start the app with its own tools, and channel-emu serve --upstream URL"),
    "java_call": Topic(CALLS, "ok", "calls the Channel API in Java",
                       "Google's library reaches the emulator through API_HOST and API_PORT on a VM runtime",
                       "the same library",
                       "start the app with its own tools, and channel-emu serve --upstream URL --presence-encoding "
                       "multipart"),
    "php_call": Topic(CALLS, "ok", "calls the Channel API in PHP",
                      "calls through the API proxy reach the emulator by API_HOST and API_PORT",
                      "there was no library of Google's for it",
                      "start the app with its own tools, and channel-emu serve --upstream URL"),
    "testbed": Topic(
        CALLS, "note", "tests with the SDK's stub of the Channel API",
        "emulator.channel_stub() has the same methods, under Python 3", "it was the SDK's, for tests alone",
        "docs/testing.md shows how such a test carries over",
    ),
    "only_imported": Topic(CALLS, "note", "imports the module, and no call of it was found",
                           advice="look whether a call is made under another name"),
    "no_use": Topic(CALLS, "note", "no use of the Channel API was found",
                    advice="if there is one, it is in a file that was not looked at, or is called by another name"),
    "presence_handler": Topic(
        PRESENCE, "ok", "takes posts about pages that come and go",
        "POST with the client id as \"from\"; disconnected/ comes 2 seconds after the last page has gone "
        "(--disconnect-after)",
        "the same post, as multipart/form-data; disconnected/ took 15 to 30 minutes in one report",
    ),
    "presence_asked": Topic(PRESENCE, "ok", "asks for presence (channel_presence)", "the app is told", "the same"),
    "presence_not_asked": Topic(
        PRESENCE, "warning", "has presence handlers, and inbound_services does not list channel_presence",
        "the app is not told of clients that connect and disconnect",
        "the same; only the last dev server told it",
        "list channel_presence under inbound_services, or serve with --presence always",
    ),
    "presence_unhandled": Topic(
        PRESENCE, "note", "asks for presence, and no handler for it was found",
        "the posts get whatever the app answers for an unknown path; nothing comes of it", "the same",
        "none, unless the app is to know who is there",
    ),
    "presence_without_slash": Topic(
        PRESENCE, "warning", "names a presence path without its last slash",
        "the post comes to /_ah/channel/connected/ or disconnected/, with it", "the same",
        "add the slash, unless the framework takes the path without it",
    ),
    "jsapi": Topic(PAGES, "ok", "loads the Channel API's script",
                   "the emulator's own browser client, at the same address", "production's script",),
    "jsapi_elsewhere": Topic(
        PAGES, "warning", "loads the script from another server",
        "the page asks that server, which is gone or knows nothing of this emulator", "it was the app's own server",
        "load /_ah/channel/jsapi, without a host",
    ),
    "talkgadget": Topic(
        PAGES, "warning", "names the server of production's transport, talkgadget.google.com",
        "nothing: nobody serves channels there any more", "pages and other clients were connected there",
        "in a page load /_ah/channel/jsapi; other clients: those that know the dev server's wire speak to the emulator",
    ),
    "page_channel": Topic(PAGES, "ok", "opens a channel in a page",
                          "by WebSocket, or long polls where that does not work", "by a hidden iframe of Google's"),
    "page_socket": Topic(PAGES, "ok", "names the socket's class in a page", "it is there, with Handler and ReadyState",
                         "there, without Handler"),
    "wcs_iframe": Topic(PAGES, "ok", "knows the hidden element wcs-iframe",
                        "there is one while a socket is open; removing it closes the socket",
                        "pages removed it before they reconnected"),
    "polling_timeout": Topic(
        PAGES, "note", "sets POLLING_TIMEOUT_MS, which was never documented",
        "it counts for polls that do not wait (?transport=short), from 50 to 3,000; otherwise messages come at once",
        "nothing: it is the dev server's, which polled every 500 ms", "none; the line may go",
    ),
    "base_url": Topic(
        PAGES, "note", "sets the socket's BASE_URL, which was never documented",
        "the browser client asks there instead of where its script came from", "nothing: it is the dev server's",
        "leave it out, unless the emulator is at that address",
    ),
    "handler_case": Topic(
        PAGES, "warning", "sets a handler of the socket in another case than the API's",
        "it is never called; the browser's own console says so when a message comes", "it was never called",
        "the names are onopen, onmessage, onerror and onclose",
    ),
    "no_script": Topic(
        PAGES, "warning", "pages open channels, and none was found that loads the script",
        "goog is not defined, and nothing opens", "the same",
        'put <script src="/_ah/channel/jsapi"></script> in the body, in front of it',
    ),
    "wait_loop": Topic(
        WAITS, "warning", "has a loop that only its deadline ends, or that sleeps in it",
        "a request is cut after 30 seconds (--request-deadline), with DeadlineExceededError; tasks have ten minutes",
        "the same: 30 seconds from 2009, 60 from October 2011",
        "if it waits for news, let the page open a channel instead",
    ),
    "wait_sleep": Topic(
        WAITS, "note", "sleeps for a second or longer, in a loop, or for as long as somebody says",
        "the request is cut after 30 seconds, and its thread is not there for others meanwhile",
        "the same: 30 seconds from 2009, 60 from October 2011", "see that it stays below the deadline",
    ),
    "wait_long": Topic(
        WAITS, "warning", "sleeps for longer than a request may take",
        "the request is cut at its deadline, with DeadlineExceededError; tasks have ten minutes",
        "the same: 30 seconds from 2009, 60 from October 2011",
        "if it waits for news, let the page open a channel instead",
    ),
    "wait_fetch": Topic(
        WAITS, "note", "waits for another server",
        "it counts toward the 30 seconds of a request; with the SDK it goes out to the network", "the same",
        "give it a timeout below the deadline",
    ),
    "use_library": Topic(
        OLD, "note", "chooses its Django with use_library",
        "django 1.2 and 1.3 with runtime: python; for older ones 1.2 is taken, with a warning. With runtime: python27 "
        "there is no google.appengine.dist", "0.96 to 1.3",
        "with runtime: python27 name django under libraries instead",
    ),
    "webapp_template": Topic(
        OLD, "note", "uses webapp's templates, which are Django's",
        "with runtime: python as in Python 2.5. With runtime: python27, those of the Django under libraries",
        "the same", "with the SDK nothing; for Python 3: jinja2 or Django",
    ),
    "run_wsgi_app": Topic(
        OLD, "note", "is started as a CGI script (run_wsgi_app, CGIHandler)",
        "with the SDK as it is; Python 3 cannot run CGI scripts", "the only way in Python 2.5",
        "with the SDK nothing; for Python 3 name the WSGI application: script: main.app",
    ),
    "simplejson": Topic(OLD, "note", "imports simplejson from Django",
                        "with runtime: python it is there; with python27, in the Django versions up to 1.4",
                        "the same", "import json instead, which Python has had since 2.6"),
    "with_statement": Topic(OLD, "ok", "imports with_statement from __future__", "nothing: it is taken",
                            "Python 2.5 needed it"),
    "python2_syntax": Topic(
        OLD, "problem", "is written in Python 2, and app.yaml asks for Python 3",
        "the module cannot be imported", "the same",
        "runtime: python27 runs it with the SDK; or translate the source to Python 3",
    ),
    "python2_source": Topic(
        OLD, "note", "is written in Python 2 alone: Python 3 refuses it",
        "with the SDK it runs as it is", "it ran as it was", "to leave the SDK, translate it",
    ),
    "service": Topic(SERVICES, "note", "uses services of the SDK"),
    "app_yaml_refused": Topic(APP_YAML, "problem", "cannot be served", advice="correct what it says"),
    "app_yaml_mistake": Topic(APP_YAML, "warning", "says something without the effect that it seems to have",
                              "what the line says", "the same"),
    "app_yaml_passed_over": Topic(APP_YAML, "note", "has a field that is passed over",
                                  "no effect", "it was App Engine's", "none, unless the app relies on it"),
    "app_yaml_changed": Topic(APP_YAML, "note", "is given to the SDK with changes; the file stays as it is",
                              "what the line says", "another release of App Engine took it"),
    "runtime_python": Topic(
        APP_YAML, "note", "asks for the runtime python, which is Python 2.5",
        "Python 2.7 stands in, with what the old runtime had", "Python 2.5",
        "nothing; docs/legacy-apps.md says what is there",
    ),
    "not_python": Topic(FILES, "note", "is no Python that could be read; searched as text",
                        advice="look at these files yourself"),
    "lines_not_python": Topic(FILES, "note", "has lines that are no Python; those were searched as text",
                              advice="look at these lines yourself"),
    "file_unreadable": Topic(FILES, "warning", "cannot be read", "what it says is not in this report",
                             advice="make it readable, and ask again"),
    "file_encoding": Topic(FILES, "note", "is in another encoding than it says; read as Latin-1",
                           "Python may refuse it", advice="correct its coding line"),
    "file_too_large": Topic(FILES, "note", "is larger than 2 MiB; not looked at"),
    "link_elsewhere": Topic(FILES, "note", "is a link that leads out of the folder; not followed",
                            advice="name that folder to have it looked at: channel-emu doctor FOLDER"),
    "sdk_in_folder": Topic(FILES, "note", "is an SDK of Google's; not looked at"),
    "too_many_files": Topic(FILES, "warning", "comes after 50,000 files; neither it nor the rest was looked at",
                            advice="name the app's own folder"),
    "no_app": Topic(
        RUN, "problem", "there is no app.yaml in this folder", "channel-emu serve does not know what to start",
        advice="name the app's folder or app.yaml; a WSGI app: channel-emu doctor module:callable",
    ),
    "sdk_needed": Topic(RUN, "problem", "needs Google's SDK and Python 2.7, and one of them is not here",
                        "channel-emu serve ends, and says what is missing", advice="the commands below"),
    "libraries_missing": Topic(
        RUN, "warning", "needs libraries that its Python does not have", "what imports them fails",
        "App Engine had them", "install them into the Python that runs the app",
    ),
    "other_runtime": Topic(RUN, "note", "is started by its own tools; the emulator stands in front"),
    "runs": Topic(RUN, "ok", "can be served here"),
    "cannot_run": Topic(RUN, "problem", "cannot be served as it is"),
}  # fmt: skip
