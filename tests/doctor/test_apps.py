"""The project's own legacy apps: every use, by lists made by hand, and nothing that is none."""

from __future__ import annotations

import pytest

from appengine_channel_emu.doctor.look import look
from appengine_channel_emu.doctor.topics import CALLS, PAGES, PRESENCE, TOPICS, WAITS
from tests.doctor.app_folder import DEADLINE
from tests.support.legacy import APPS

USES = {
    "django_board": {
        "create_channel": ["views.py:18"],
        "send_message": ["views.py:24"],
        "presence_handler": ["urls.py:7", "urls.py:8"],
        "jsapi": ["templates/page.html:5"],
        "page_channel": ["templates/page.html:7"],
    },
    "limits": {
        "create_channel": ["cases.py:101", "cases.py:106", "cases.py:108", "cases.py:111"],
        "send_message": ["cases.py:101", "cases.py:109", "cases.py:110"],
        "channel_name": ["cases.py:112", "cases.py:113", "cases.py:114", "cases.py:118"],
    },
    "own_channel": {
        "create_channel": ["main.py:21"],
        "send_message": ["main.py:28"],
        "jsapi": ["page.html:5"],
        "page_channel": ["page.html:7"],
    },
    "python25_cgi": {
        "create_channel": ["main.py:21"],
        "send_message": ["say.py:14"],
        "jsapi": ["page.html:5"],
        "page_channel": ["page.html:7"],
    },
    "python25_django": {
        "create_channel": ["main.py:32"],
        "jsapi": ["templates/page.html:2"],
        "page_channel": ["templates/page.html:2"],
    },
    "slow": {
        "wait_long": ["main.py:17", "main.py:40"],
        "wait_loop": ["main.py:21", "main.py:38", "main.py:47"],
        "wait_sleep": ["main.py:66"],
    },
    "webapp2_ndb": {
        "create_channel": ["main.py:80"],
        "send_message": ["main.py:59", "main.py:98", "main.py:150", "main.py:155"],
        "send_deferred": ["main.py:101"],
        "presence_handler": ["main.py:175"],
        "jsapi": ["main.py:20"],
        "page_channel": ["main.py:22"],
        "wait_sleep": ["main.py:68", "main.py:168"],
        "wait_long": ["main.py:141", "main.py:153", "main.py:163"],
        "wait_loop": ["main.py:143", "main.py:151"],
    },
}


@pytest.mark.parametrize("app", sorted(path.name for path in APPS.iterdir() if path.is_dir()))
def test_every_use_and_no_other(app):
    found = look(APPS / app, DEADLINE)
    of_interest = {topic for topic, told in TOPICS.items() if told.group in (CALLS, PRESENCE, PAGES, WAITS)}
    seen: dict[str, list[str]] = {}
    for each in sorted(set(found.sightings)):
        if each.topic in of_interest:
            seen.setdefault(each.topic, []).append(str(each.place))
    assert seen == USES[app]
    assert not found.has("not_python", "lines_not_python", "file_unreadable", "file_encoding")
