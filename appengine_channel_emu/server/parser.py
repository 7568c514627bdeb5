"""Waitress's request parser, stricter and with bounds: heads, and bodies in chunks."""

from __future__ import annotations

import contextlib
import logging
import re
from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError, TransferEncodingNotImplemented
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge, RequestHeaderFieldsTooLarge

from appengine_channel_emu.hints import no_room, reason
from appengine_channel_emu.web.wsgi import members

MOST_HEADERS = 200
"""Lines of a request's head; browsers send about twenty."""

_TLS_HANDSHAKE = b"\x16\x03"
"""What a browser sends first that was told https:// (RFC 8446, 5.1). No request begins so."""

_CODINGS = re.compile(rb"\r\ntransfer-encoding:([^\r\n]*)")
_FOLDED_FRAMING = re.compile(rb"\r\n(?:transfer-encoding|content-length|connection|host):[^\r\n]*\r\n[ \t]")

LONGEST_CHUNK_LINE = 1024
LONGEST_TRAILER = 16 * 1024

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;%b(?:=(?:%b|%b))?)*" % (_TOKEN, _TOKEN, _QUOTED))

log = logging.getLogger("channel_emu")


class NoRoomForBody(Error):  # type: ignore[misc]
    """The answer to a body that the temporary folder has no room for (RFC 4918, section 11.5)."""

    code = 507
    reason = "Insufficient Storage"


class RequestParser(HTTPRequestParser):  # type: ignore[misc]
    """Joins repeated Cookie headers with "; " (RFC 6265, section 5.4; RFC 9113, 8.2.3), not with ", " as any other.

    Refuses what another server in front of us, or behind, might delimit in another way: a length beside chunks, chunks
    in HTTP/1.0, any Transfer-Encoding but `chunked`, once, a folded line that says where the request ends, and versions
    that are neither 1.0 nor 1.1 (RFC 9112, section 6.1, on request smuggling). What Python cannot convert is refused
    too, where waitress would drop the connection: a Content-Length of thousands of digits, an address with half an IPv6
    literal.
    """

    body_rcv: Any
    error: Error | None
    path = "/"
    command = ""
    """Of a request too broken to have one; waitress names it in its log."""
    upgrade = False
    """Whether it asks for a WebSocket (RFC 6455, section 4.1), so that what follows is no request if it gets one."""
    behind = b""
    """What has come behind such a request."""

    def received(self, data: bytes) -> int:
        """See waitress; a body that cannot be kept is refused, where waitress would drop the connection."""
        if data.startswith(_TLS_HANDSHAKE) and not self.begun:
            self.refuse(BadRequest("HTTP is served, without TLS: the address begins with http://, not https://."))
            self.completed = True
            return len(data)
        try:
            consumed: int = super().received(data)
        except OSError as error:
            self._refuse_body(error)
            return len(data)
        if self.completed:
            # Nothing more is to come: a request without a body, or one that is refused.
            self.expect_continue = False
            self._use_our_words()
            if self.upgrade:
                self.behind, consumed = data[consumed:], len(data)
        return consumed

    def end_early(self) -> None:
        """The client has ended its side in the middle of the request."""
        if not self.headers_finished:
            self._parse_nothing()
        self.error = BadRequest("The request ended early: the client closed its side of the connection within it.")
        self.completed = True

    def refuse(self, error: Error) -> None:
        """Answer it with `error`, whatever of it has come."""
        if not self.headers_finished:
            self._parse_nothing()
        self.error = error

    @property
    def begun(self) -> bool:
        """Whether any of it has come, empty lines apart."""
        return bool(self.headers_finished or self.header_plus.strip())

    def parse_header(self, header_plus: bytes) -> None:
        """See waitress; `header_plus` is the request line and the headers."""
        if header_plus.count(b"\r\n") > MOST_HEADERS:
            self._parse_nothing()
            self.error = RequestHeaderFieldsTooLarge(f"A request has at most {MOST_HEADERS} headers.")
            return
        lower = header_plus.lower()
        _check_framing(lower)
        try:
            super().parse_header(_with_one_cookie(header_plus, lower))
        except ValueError as error:
            raise ParsingError("The address or Content-Length is malformed.") from error
        except ParsingError:
            if header_plus.partition(b"\r\n")[0].isascii():
                raise
            raise ParsingError(
                "The address holds bytes outside ASCII; each is written as % and two digits, such as %C3%A9."
            ) from None
        if self.version not in ("1.1", "1.0"):
            raise ParsingError("HTTP/1.0 and HTTP/1.1 are served.")
        if self.chunked:
            if "CONTENT_LENGTH" in self.headers:
                raise ParsingError("A body has either chunks or a Content-Length.")
            self.body_rcv = ChunkReader(self.body_rcv.getbuf())
        elif "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("HTTP/1.0 knows no Transfer-Encoding.")
        self._read_lists()

    def _read_lists(self) -> None:
        """Headers that may name several things, of which waitress knows one alone (RFC 9112, 9.3; RFC 9110, 10.1.1)."""
        if "CONNECTION" in self.headers:
            options = members(self.headers["CONNECTION"])
            self.connection_close = "close" in options or (self.version == "1.0" and "keep-alive" not in options)
        if "EXPECT" in self.headers:
            self.expect_continue = self.version == "1.1" and "100-continue" in members(self.headers["EXPECT"])
        if "UPGRADE" in self.headers and self.version == "1.1" and self.command == "GET" and self.body_rcv is None:
            options = members(self.headers.get("CONNECTION", ""))
            self.upgrade = "upgrade" in options and "websocket" in members(self.headers["UPGRADE"])
            # What is behind it may be for a WebSocket: where it gets none, nothing more can be read.
            self.connection_close |= self.upgrade

    def _parse_nothing(self) -> None:
        """What answers it asks for attributes that only a parsed head gives."""
        super().parse_header(b"GET / HTTP/1.0\r\n")

    def _use_our_words(self) -> None:
        """Waitress names its own settings."""
        if isinstance(self.error, RequestEntityTooLarge):
            # See `Service`: one more than what is allowed.
            most = self.adj.max_request_body_size - 1
            self.error = RequestEntityTooLarge(
                f"The body of a request has at most {most:,} bytes (--max-request-size)."
            )
            self.error.setting = f"--max-request-size {2 * most}"
        elif self.header_bytes_received >= self.adj.max_request_header_size and self.body_rcv is None:
            most = self.adj.max_request_header_size
            text = f"The headers of a request have fewer than {most:,} bytes (--max-header-size)."
            self.error = RequestHeaderFieldsTooLarge(text)
            self.error.setting = f"--max-header-size {2 * most}"

    def _refuse_body(self, error: OSError) -> None:
        with contextlib.suppress(OSError):
            # It may try once more to write what it could not.
            self.close()
        self.body_rcv = None
        log.warning("There is no room for the body of a request in the temporary folder: %s.", reason(error))
        self.error = NoRoomForBody(no_room("the body of this request", error))
        self.completed = True


def _check_framing(head: bytes) -> None:
    """Refuse what makes it doubtful where the request ends; `head` is in lower case."""
    if (b"\r\n " in head or b"\r\n\t" in head) and _FOLDED_FRAMING.search(head):
        # Others might read it in another way (RFC 9112, section 5.2).
        raise ParsingError("Headers that say where a request ends, and where it goes, have one line each.")
    if b"\r\ntransfer-encoding:" not in head:
        return
    values = [value.strip(b" \t") for value in _CODINGS.findall(head)]
    if values == [b"chunked"]:
        return
    codings = {coding.strip(b" \t") for value in values for coding in value.split(b",")}
    if codings <= {b"chunked", b""}:
        raise ParsingError("Transfer-Encoding names chunked, once.")
    raise TransferEncodingNotImplemented("The only Transfer-Encoding that is understood is chunked.")


def _with_one_cookie(head: bytes, lower: bytes) -> bytes:
    if lower.count(b"\r\ncookie:") < 2:
        return head
    lines = head.split(b"\r\n")
    cookies = [line for line in lines if line[:7].lower() == b"cookie:"]
    if any(line[:1] in (b" ", b"\t") for line in lines):
        return head  # Obsolete line folding: whose line it is, only the parser can tell.
    others = [line for line in lines if line[:7].lower() != b"cookie:"]
    joined = b"Cookie: " + b"; ".join(cookie[7:].strip(b" \t") for cookie in cookies)
    return b"\r\n".join([others[0], joined, *others[1:]])


class ChunkReader:
    """Puts the data of a body in chunks into `buffer` (RFC 9112, section 7.1), for waitress's parser.

    Strict: what two servers might delimit in two ways is an error. Afterwards it is `completed`, or `error` says why
    not. Trailers are read and dropped.
    """

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer
        self._take = self._take_size
        self._line = b""
        self._left = 0
        self._trailer = 0
        self.completed = False
        self.error: Error | None = None

    def __len__(self) -> int:
        return len(self._buffer)

    def getfile(self) -> Any:
        """See waitress."""
        return self._buffer.getfile()

    def getbuf(self) -> Any:
        """See waitress."""
        return self._buffer

    def received(self, data: bytes) -> int:
        """Take more of the body; returns how many bytes belonged to it."""
        position = 0
        while position < len(data) and not self.completed and self.error is None:
            position = self._take(data, position)
        return position

    def _take_size(self, data: bytes, position: int) -> int:
        line, position = self._read_line(data, position, LONGEST_CHUNK_LINE)
        if line is not None:
            found = _CHUNK_SIZE.fullmatch(line)
            if found is None:
                self.error = BadRequest("Invalid chunk size")
            elif int(found[1], 16):
                self._left = int(found[1], 16)
                self._take = self._take_data
            else:
                self._take = self._take_trailer
        return position

    def _take_data(self, data: bytes, position: int) -> int:
        part = data[position : position + self._left]
        self._buffer.append(part)
        self._left -= len(part)
        if not self._left:
            self._take = self._take_end
        return position + len(part)

    def _take_end(self, data: bytes, position: int) -> int:
        ahead = self._line + data[position : position + 2 - len(self._line)]
        if not b"\r\n".startswith(ahead):
            self.error = BadRequest("Chunk not properly terminated")
        taken = len(ahead) - len(self._line)
        self._line = ahead
        if ahead == b"\r\n":
            self._line, self._take = b"", self._take_size
        return position + taken

    def _take_trailer(self, data: bytes, position: int) -> int:
        line, end = self._read_line(data, position, LONGEST_TRAILER)
        self._trailer += end - position
        if self._trailer > LONGEST_TRAILER:
            self._refuse_length()
        self.completed = line == b"" and self.error is None
        return end

    def _read_line(self, data: bytes, position: int, longest: int) -> tuple[bytes | None, int]:
        """The line without its end, once it is whole, and where the next begins."""
        end = data.find(b"\n", position) + 1 or len(data)
        self._line += data[position:end]
        if len(self._line) > longest:
            self._refuse_length()
            return None, end
        if not self._line.endswith(b"\n"):
            return None, end
        line, self._line = self._line, b""
        if line.find(b"\r") != len(line) - 2:
            self.error = BadRequest("Bare CR or LF found in the lines between chunks")
            return None, end
        return line[:-2], end

    def _refuse_length(self) -> None:
        self._line = b""
        self.error = RequestHeaderFieldsTooLarge("The chunks' own lines are too long.")
