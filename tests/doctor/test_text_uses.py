"""Uses in pages, scripts, Go, Java and PHP; what stands in comments is none."""

from __future__ import annotations

import pytest

from tests.doctor.app_folder import places, seen, topics

PAGES = [
    ('<script src="/_ah/channel/jsapi"></script>', {"jsapi"}),
    ("<script src='/_ah/channel/jsapi?transport=xhr'></script>", {"jsapi"}),
    ('<script src="https://shop.appspot.com/_ah/channel/jsapi"></script>', {"jsapi_elsewhere"}),
    ('<script src="//shop.example.com/_ah/channel/jsapi"></script>', {"jsapi_elsewhere"}),
    ('<script src="http://localhost:8080/_ah/channel/jsapi"></script>', {"jsapi"}),
    ('<script src="//{{ host }}/_ah/channel/jsapi"></script>', {"jsapi"}),
    ('<script src="https://talkgadget.google.com/talkgadget/channel.js"></script>', {"talkgadget"}),
    ("var c = new goog.appengine.Channel(token);", {"page_channel"}),
    ("var Channel = goog['appengine']['Channel'];", {"page_channel"}),
    ("if (s instanceof goog.appengine.Socket) {}", {"page_socket"}),
    ("goog.appengine.Socket.POLLING_TIMEOUT_MS = 1000;", {"polling_timeout"}),
    ("goog.appengine.Socket.BASE_URL = '/x/';", {"base_url"}),
    ("var BASE_URL = '/api/';", set()),
    ("$('#wcs-iframe').remove();", {"wcs_iframe"}),
    ("c = new goog.appengine.Channel(t); socket = c.open(); socket.onMessage = f;", {"page_channel", "handler_case"}),
    ("c = new goog.appengine.Channel(t); socket = c.open(); socket.onmessage = f;", {"page_channel"}),
    ("c = new goog.appengine.Channel(t); onMessage = function(m) {};", {"page_channel"}),
    ("<!-- <script src='/_ah/channel/jsapi'></script> -->", set()),
    ("<!--\n<script src='/_ah/channel/jsapi'></script>\n-->", set()),
    ("{# <script src='/_ah/channel/jsapi'></script> #}", set()),
    ("// new goog.appengine.Channel(token)", set()),
    ("x();  // new goog.appengine.Channel(token)", set()),
    ("/* new goog.appengine.Channel(token)\n */", set()),
    ('<input accept="image/*"><script>new goog.appengine.Channel(t); /* x */</script>', {"page_channel"}),
    ("<p>The page '/_ah/channel/jsapi did not load</p>", set()),
]

LANGUAGES = {
    "main.go": (
        'import (\n\t"appengine"\n\t"appengine/channel"\n)\n\n// channel.Create(c, id)\nfunc f() {\n'
        "\ttok, err := channel.Create(c, id)\n\tchannel.Send(c, id, text)\n\tchannel.SendJSON(c, id, v)\n}\n",
        {"go_call": {8, 9, 10}},
    ),
    "alias.go": (
        'import push "google.golang.org/appengine/channel"\nfunc f() { push.Send(c, id, text) }\n',
        {"go_call": {2}},
    ),
    "sieve.go": ("// Create a new channel.\nch := make(chan int)\nchannel.Send(1)\n", {}),
    "Game.java": (
        "import com.google.appengine.api.channel.ChannelMessage;\n"
        "import com.google.appengine.api.channel.ChannelServiceFactory;\nclass Game {\n"
        "  ChannelService channelService = ChannelServiceFactory.getChannelService();\n"
        "  String token = channelService.createChannel(id);\n"
        "  void f() {\n    channelService.sendMessage(\n      new ChannelMessage(id, text));\n"
        "    ChannelPresence presence = channelService.parsePresence(request);\n  }\n}\n",
        {"java_call": {4, 5, 7, 8, 9}},
    ),
    "Other.java": ("class Other { void f() { mail.sendMessage(x); rabbit.createChannel(); } }\n", {}),
    "push.php": (
        "<?php\n$r = new CreateChannelRequest();\nApiProxy::makeSyncCall('xmpp', 'SendChannelMessage', $m, $a);\n",
        {"php_call": {2, 3}},
    ),
    "web.xml": (
        "<web-app>\n <url-pattern>/_ah/channel/connected/</url-pattern>\n"
        " <!-- <url-pattern>/_ah/channel/disconnected/</url-pattern> -->\n</web-app>\n",
        {"presence_handler": {2}},
    ),
    "appengine-web.xml": (
        "<inbound-services>\n  <service>channel_presence</service>\n</inbound-services>\n",
        {"presence_asked": {2}},
    ),
}


@pytest.mark.parametrize(("page", "expected"), PAGES)
@pytest.mark.parametrize("name", ["page.html", "index-template"])
def test_pages(tmp_path, name, page, expected):
    assert topics(seen(tmp_path, {name: page})) == expected


@pytest.mark.parametrize("name", LANGUAGES)
def test_other_languages(tmp_path, name):
    source, expected = LANGUAGES[name]
    found = seen(tmp_path, {name: source})
    assert topics(found) == set(expected)
    for topic, lines in expected.items():
        assert places(found, topic) == {f"{name}:{line}" for line in lines}


@pytest.mark.parametrize("name", ["README.md", "README", "NOTES.txt", "CHANGES"])
def test_what_documents_say_is_no_use(tmp_path, name):
    assert not topics(seen(tmp_path, {name: '<script src="/_ah/channel/jsapi"></script>'}))
