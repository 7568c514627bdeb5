"""Uses of the Channel API that are found in the text itself: pages and scripts, Go, Java, PHP and their XML files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from appengine_channel_emu.doctor.diagnosis import Place, Sighting, shown
from appengine_channel_emu.doctor.sources import SourceFile

_HERE = r"localhost|127\.0\.0\.1|\{\{|\$\{|<%"
_PAGE = (
    ("jsapi_elsewhere", re.compile(rf"(?:https?:)?//(?!{_HERE})[\w.:-]+/_ah/channel/jsapi")),
    ("jsapi", re.compile(r"_ah/channel/jsapi(?=[\"'?#>&\\{]|$)")),
    ("talkgadget", re.compile(r"talkgadget\.google\.com")),
    ("polling_timeout", re.compile(r"POLLING_TIMEOUT_MS")),
    ("base_url", re.compile(r"Socket\s*(?:\.\s*|\[\s*['\"])BASE_URL\b")),
    ("page_channel", re.compile(r"\bgoog\.appengine\.Channel\b|\bgoog\[['\"]appengine['\"]\]")),
    ("page_socket", re.compile(r"\bgoog\.appengine\.Socket\b")),
    ("wcs_iframe", re.compile(r"wcs-iframe")),
)
"""Of several on one line the first of each of `_INSTEAD` counts alone."""
_INSTEAD = {"jsapi_elsewhere": "jsapi", "polling_timeout": "page_socket", "base_url": "page_socket"}

_HANDLER = re.compile(
    r"\b\w*(?:sock|chan)\w*\s*\.\s*(?!onopen\b|onmessage\b|onerror\b|onclose\b)on(?i:open|message|error|close)\s*=(?!=)"
)
"""A handler of a socket whose name has a capital letter."""

# A comment begins where code may: not within an address, a MIME type, or a pattern of paths.
_COMMENT = re.compile(
    r"<!--|\{#|<%--|\{%\s*comment\s*%\}|(?:(?<=[\s;{}(),=>])|^)/\*|(?:(?<=[\s;{}(),])|^)//", re.MULTILINE
)
_ENDS = {"<!--": "-->", "{#": "#}", "<%--": "--%>", "/*": "*/", "//": "\n"}
_END_OF_DJANGOS = "endcomment"

_PRESENCE = re.compile(r"_ah/channel/(?!jsapi|dev\b|receive\b|xpc_blank|open\b|poll\b)")
_WITHOUT_SLASH = re.compile(r"/_ah/channel/(?:dis)?connected")

_GO_IMPORT = re.compile(r"(?:(\w+)[ \t]+)?\"(?:google\.golang\.org/)?appengine/channel\"")
_JAVA = re.compile(
    r"\bChannelServiceFactory\s*\.\s*getChannelService\b|\.\s*createChannel\s*\(|\bnew\s+ChannelMessage\s*\("
    r"|\b\w*[cC]hannel\w*\s*\.\s*(?:sendMessage|parseMessage|parsePresence)\s*\("
)
_JAVA_IMPORT = re.compile(r"\bcom\.google\.appengine\.api\.channel\b")
_PHP = re.compile(
    r"\bChannelService\b|\bCreateChannel(?:Request|Response)\b|\bSendMessageRequest\b"
    r"|['\"](?:CreateChannel|SendChannelMessage)['\"]"
)
_ASKED = re.compile(r"<service>\s*channel_presence\s*</service>")
_LANGUAGES = {"go": "go", "java": "java", "kt": "java", "scala": "java", "groovy": "java", "php": "php", "inc": "php"}


def without_comments(text: str) -> str:
    """`text` with comments as blanks; each line stays the line it was."""
    parts: list[str] = []
    at = 0
    # What has no end is no comment. It is looked for once, not from each beginning.
    endless: set[str] = set()
    for match in _COMMENT.finditer(text):
        end = _ENDS.get(match[0], _END_OF_DJANGOS)
        if match.start() < at or end in endless:
            continue
        stop = text.find(end, match.end())
        if stop < 0 and end == "\n":
            stop = len(text)
        if stop < 0:
            endless.add(end)
            continue
        stop += 0 if end == "\n" else len(end)
        parts += [text[at : match.start()], re.sub(r"[^\n]", " ", text[match.start() : stop])]
        at = stop
    return "".join([*parts, text[at:]])


def in_strings(text: str) -> Iterator[tuple[str, int]]:
    """What a page, or a text that makes one, has: topics and lines, from 1 on."""
    text = without_comments(text)
    lines = text.splitlines()
    about_sockets = "goog.appengine" in text or "_ah/channel/jsapi" in text
    for number, line in enumerate(lines, 1):
        topics = [topic for topic, pattern in _PAGE if pattern.search(line)]
        hidden = {_INSTEAD[topic] for topic in topics if topic in _INSTEAD}
        yield from ((topic, number) for topic in topics if topic not in hidden)
        if about_sockets and _HANDLER.search(line):
            yield "handler_case", number


def presence_paths(value: str) -> Iterator[str]:
    """What a path or pattern, such as that of a route, has to do with presence: topics."""
    if _PRESENCE.search(value) and "\n" not in value.strip():
        yield "presence_handler"
        if _WITHOUT_SLASH.fullmatch(value):
            yield "presence_without_slash"


def text_uses(file: SourceFile) -> Iterator[Sighting]:
    """What a file that is not Python says of the Channel API."""
    language = _LANGUAGES.get(file.ending)
    found: dict[tuple[str, int], None] = dict.fromkeys(in_strings(file.text))
    text = without_comments(file.text)
    if language == "go":
        found.update(dict.fromkeys(_go(text)))
    elif language == "java" and _JAVA_IMPORT.search(text):
        found.update(dict.fromkeys(_matches("java_call", _JAVA, text)))
    elif language == "php":
        found.update(dict.fromkeys(_matches("php_call", _PHP, text)))
    if language or file.ending == "xml":
        found.update(dict.fromkeys(_presence(text, quoted=language is not None)))
    if file.ending == "xml":
        found.update(dict.fromkeys(_matches("presence_asked", _ASKED, text)))
    lines = file.text.splitlines()
    for topic, number in found:
        yield Sighting(topic, Place(file.name, number, shown(lines[number - 1])))


def _go(text: str) -> Iterator[tuple[str, int]]:
    for match in _GO_IMPORT.finditer(text):
        name = match[1] if match[1] not in (None, "import") else "channel"
        yield from _matches("go_call", re.compile(rf"\b{re.escape(str(name))}\.(?:Create|Send|SendJSON)\s*\("), text)


def _presence(text: str, *, quoted: bool) -> Iterator[tuple[str, int]]:
    pattern = re.compile(
        r"[\"'`]([^\"'`\n]*_ah/channel/[^\"'`\n]*)[\"'`]" if quoted else r">\s*([^<\n]*_ah/channel/[^<\n]*)<"
    )
    for match in pattern.finditer(text):
        for topic in presence_paths(match[1].strip()):
            yield topic, text.count("\n", 0, match.start(1)) + 1


def _matches(topic: str, pattern: re.Pattern[str], text: str) -> Iterator[tuple[str, int]]:
    line, at = 1, 0
    for match in pattern.finditer(text):
        line, at = line + text.count("\n", at, match.start()), match.start()
        yield topic, line
