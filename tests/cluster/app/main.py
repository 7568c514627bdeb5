"""The app behind each node: it writes down whom it was told of, and sends while it answers."""

from __future__ import annotations

import json
import os
import time
from urllib.parse import parse_qs

from google.appengine.api import channel

PAGE = b'<!DOCTYPE html><meta charset="utf-8"><title>A page</title><link rel="icon" href="data:,"><body></body>'


def app(environ, start_response):
    """`/_ah/channel/…` is noted; `/send?to=ID&seconds=S` sends, then takes so long; else what the app knows."""
    path, query = environ["PATH_INFO"], parse_qs(environ["QUERY_STRING"])
    body = PAGE
    if path.startswith("/_ah/channel/"):
        _note(path, parse_qs(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode())["from"][0])
    elif path == "/send":
        channel.send_message(query["to"][0], query["text"][0])
        time.sleep(float(query.get("seconds", "0")[0]))
    elif path == "/account":
        body = os.environ["USER_EMAIL"].encode()
    elif path == "/environment":
        body = json.dumps(dict(os.environ)).encode()
    elif path == "/address":
        body = environ["REMOTE_ADDR"].encode()
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(body)))])
    return [body]


def _note(path, client_id):
    """One line in one write, so that both nodes' instances may write to one file."""
    line = json.dumps([path.strip("/").split("/")[-1], client_id, os.environ["CHANNEL_EMULATOR_HOST"]]) + "\n"
    file = os.open(os.environ["PRESENCE_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, line.encode())
    os.close(file)
