"""A request's body in chunks, read strictly: what two servers might delimit in two ways is an error."""

from __future__ import annotations

import re
from typing import Any

from waitress.utilities import BadRequest, Error, RequestHeaderFieldsTooLarge

LONGEST_CHUNK_LINE = 1024
LONGEST_TRAILER = 16 * 1024

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;%b(?:=(?:%b|%b))?)*" % (_TOKEN, _TOKEN, _QUOTED))


class ChunkReader:
    """Puts the chunks' data into `buffer` (RFC 9112, section 7.1), for waitress's parser.

    Afterwards it is `completed`, or `error` says why not. Trailers are read and dropped.
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
            found = _SIZE.fullmatch(line)
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
