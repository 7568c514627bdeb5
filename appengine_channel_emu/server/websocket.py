"""A connection that has become a WebSocket (RFC 6455): frames, heartbeats, silence and the end.

All of it happens on the loop's thread. What comes in is read by wsproto, whose reader lives as long as one block of
bytes: thousands of idle streams have none. The few bytes before a text that goes out are made here. Extensions are
never accepted: compression takes 100 KiB for each connection.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable
from typing import Any

from wsproto.frame_protocol import (
    LOCAL_ONLY_CLOSE_REASONS,
    MAX_CLOSE_REASON,
    MAX_PROTOCOL_CLOSE_REASON,
    MIN_CLOSE_REASON,
    CloseReason,
    Frame,
    FrameDecoder,
    Opcode,
    ParseFailed,
)

from appengine_channel_emu.server.timeouts import Timeouts
from appengine_channel_emu.web.upgrade import Closing, FrameCut, Upgrade, WebSocketPage
from appengine_channel_emu.web.wsgi import ConnectionCut

HEARTBEAT_SECONDS = 24.0
"""After so long without a word to the page it gets a heartbeat, which is noticed half a second late at the most: the
page relies on one each 25 seconds (behaviour.md 5)."""

SILENCE_SECONDS = 40.0
"""How long a page may say nothing. It answers heartbeats: one that does not is asleep, or has gone."""

LARGEST_FRAME = 125
"""Bytes that a page may send in a frame; it sends numbers."""

WHOLE_TEXT = 0x80 | Opcode.TEXT.value
"""The first byte of a text in one frame (RFC 6455, 5.2)."""

MASKED_HEAD = 6
"""Bytes before the content of a page's frame."""

LONGEST_REASON = 123
"""Bytes of a close frame's reason (RFC 6455, 5.5)."""

MOST_UNSENT = 1024 * 1024
"""With more than this to be sent nothing is read from a page: it might ask for pongs for ever, and read none. The
messages under way to it are less (`Broker.take_next`), unless JSON has to escape nearly all of them."""

log = logging.getLogger("channel_emu")


class WebSocket:
    """The WebSocket on `channel`, a `ParkingChannel`; `timeouts` wakes it when it has been quiet.

    Begins at the first `service`, and ends at the latest when its connection does.
    """

    __slots__ = (
        "_channel",
        "_heard_at",
        "_page",
        "_queued",
        "_said_at",
        "_timeouts",
        "_unfinished",
        "_upgrade",
        "deadline",
    )

    resumes = True
    """See `Loop.soon`."""

    def __init__(self, channel: Any, upgrade: Upgrade, timeouts: Timeouts) -> None:
        self._channel = channel
        self._timeouts = timeouts
        self._upgrade: Upgrade | None = upgrade
        self._page: WebSocketPage | None = upgrade.page
        self._queued = True
        self._unfinished = b""
        """What has come of a frame that is not whole."""
        self._heard_at = self._said_at = self.deadline = 0.0

    def wake(self) -> None:
        """The page has something to say. From any thread."""
        if not self._queued:
            self._queued = True
            self._channel.port.loop.soon(self)

    def service(self) -> None:
        """Say what there is to say."""
        self._queued = False
        if self._upgrade is not None:
            self._do(self._begin)
        else:
            self._do(self._speak)

    def received(self, data: bytes) -> None:
        """The next bytes of the page."""
        self._do(self._read, data)

    def expire(self) -> None:
        """It may have been quiet for too long, or its page."""
        self._do(self._look_at_time)

    def end(self, code: int, reason: str) -> None:
        """Say that it ends, and why; the page's own close frame is waited for (RFC 6455, section 7.1.1)."""
        self.left()
        self._channel.push(close_frame(code, reason))
        self._channel.end_stream()

    def left(self) -> None:
        """Its connection has ended, or is about to."""
        page, self._page = self._page, None
        if page is not None:
            self._upgrade = None
            self._channel.websocket = None
            self._timeouts.remove(self)
            page.left()

    def _do(self, step: Callable[..., None], *arguments: Any) -> None:
        """One step, unless it has ended; what goes wrong ends it, of which its page hears."""
        if self._page is None:
            return
        try:
            step(*arguments)
        except Closing as closing:
            self.end(closing.code, closing.reason)
        except ParseFailed as error:
            self.end(error.code, str(error))
        except ConnectionCut as cut:
            if isinstance(cut, FrameCut):
                frame = text_frame(cut.text)
                self._channel.push(frame[: len(frame) // 2])
            self._channel.handle_close()
        except OSError:
            self._channel.handle_close()
        except Exception:
            log.exception("A stream was closed after an error.")
            self.end(CloseReason.INTERNAL_ERROR, "The server failed.")

    def _begin(self) -> None:
        upgrade, self._upgrade = self._upgrade, None
        page = self._page
        assert upgrade is not None
        assert page is not None
        behind = self._channel.begin_stream()
        if behind is None:
            self._channel.handle_close()
            return
        self._channel.push(_switching(upgrade.headers))
        self._heard_at = self._said_at = time.monotonic()
        self._look_at_time()
        page.opened(self.wake)
        self._speak()
        if behind:
            self.received(behind)

    def _speak(self) -> None:
        assert self._page is not None
        for text in self._page.outgoing():
            self._say(text)

    def _say(self, text: bytes) -> None:
        self._channel.push(text_frame(text))
        self._said_at = time.monotonic()

    def _beat(self) -> None:
        """A client that takes nothing is not sent more and more of it."""
        assert self._page is not None
        text = None if self._channel.total_outbufs_len else self._page.heartbeat()
        if text is not None:
            self._say(text)

    def _look_at_time(self) -> None:
        now = time.monotonic()
        silent_at = self._heard_at + SILENCE_SECONDS
        if now >= silent_at:
            raise Closing(CloseReason.POLICY_VIOLATION, f"Nothing was heard for {SILENCE_SECONDS:g} s.")
        if now >= self._said_at + HEARTBEAT_SECONDS:
            self._beat()
            # Whether or not it could: the next one is not due before.
            beat_at = now + HEARTBEAT_SECONDS
        else:
            beat_at = self._said_at + HEARTBEAT_SECONDS
        if self._page is not None:
            self.deadline = min(silent_at, beat_at)
            self._timeouts.add(self)

    def _read(self, data: bytes) -> None:
        if not self._unfinished and (text := _only_text(data)) is not None:
            self._heard_at = time.monotonic()
            self._hear(text)
            return
        data = self._unfinished + data
        self._unfinished = b""
        decoder = FrameDecoder(client=False)
        decoder.receive_bytes(data)
        while data and (frame := _whole_frame(decoder)) is not None:
            data = data[MASKED_HEAD + len(frame.payload) :]
            self._heard_at = time.monotonic()
            self._obey(frame)
            if self._page is None:
                return
        self._unfinished = data

    def _hear(self, text: bytes) -> None:
        assert self._page is not None
        try:
            self._page.received(text.decode("utf-8"))
        except UnicodeDecodeError:
            raise Closing(CloseReason.INVALID_FRAME_PAYLOAD_DATA, "Text is UTF-8.") from None

    def _obey(self, frame: Frame) -> None:
        payload = frame.payload
        assert isinstance(payload, bytes)
        if frame.opcode is Opcode.TEXT:
            self._hear(payload)
        elif frame.opcode is Opcode.PING:
            # What was sent to the page before it asked is before the pong: a client can tell by it that it has all.
            self._speak()
            self._channel.push(bytes((0x80 | Opcode.PONG, len(payload))) + payload)
        elif frame.opcode is Opcode.CLOSE:
            raise _echo(payload)
        elif frame.opcode is Opcode.BINARY:
            raise Closing(CloseReason.UNSUPPORTED_DATA, "Pages send text.")


def text_frame(text: bytes) -> bytes:
    """`text`, which is UTF-8, as a frame of a server (RFC 6455, section 5.2)."""
    size = len(text)
    if size < 126:
        return bytes((WHOLE_TEXT, size)) + text
    if size < 65536:
        return bytes((WHOLE_TEXT, 126)) + size.to_bytes(2, "big") + text
    return bytes((WHOLE_TEXT, 127)) + size.to_bytes(8, "big") + text


def close_frame(code: int, reason: str = "") -> bytes:
    """The last frame of a server; the code `NO_STATUS_RCVD` stands for none, as in answer to one without."""
    payload = b""
    if code != CloseReason.NO_STATUS_RCVD:
        text = reason.encode("utf-8")[:LONGEST_REASON].decode("utf-8", "ignore")
        payload = struct.pack("!H", code) + text.encode("utf-8")
    return bytes((0x80 | Opcode.CLOSE, len(payload))) + payload


def _switching(headers: list[tuple[str, str]]) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""]).encode("latin-1")


def _only_text(data: bytes) -> bytes | None:
    """The text, where `data` is nothing but one that a page may send: masked, whole, in one frame.

    So is nearly all that pages send, and wsproto takes six times as long for it.
    """
    size = len(data) - MASKED_HEAD
    if not 0 < size <= LARGEST_FRAME or data[0] != WHOLE_TEXT or data[1] != 0x80 | size:
        return None
    mask = data[2:MASKED_HEAD] * (size // 4 + 1)
    hidden = int.from_bytes(data[MASKED_HEAD:], "big") ^ int.from_bytes(mask[:size], "big")
    return hidden.to_bytes(size, "big")


def _whole_frame(decoder: FrameDecoder) -> Frame | None:
    """The next frame, once all of it is there. Raises `Closing` and ParseFailed for what a page may not send."""
    frame = decoder.process_buffer()
    if decoder.header is not None and decoder.header.payload_len > LARGEST_FRAME:
        raise Closing(CloseReason.PROTOCOL_ERROR, f"A frame of a page has at most {LARGEST_FRAME} bytes.")
    if frame is None or not frame.frame_finished:
        return None
    if not frame.message_finished or frame.opcode is Opcode.CONTINUATION:
        raise Closing(CloseReason.PROTOCOL_ERROR, "A message of a page is one frame.")
    if len(frame.payload) > LARGEST_FRAME:
        raise Closing(CloseReason.PROTOCOL_ERROR, f"A frame of a page has at most {LARGEST_FRAME} bytes.")
    return frame


def _echo(payload: bytes) -> Closing:
    """What a close frame is answered (RFC 6455, sections 5.5.1 and 7.4)."""
    if not payload:
        return Closing(CloseReason.NO_STATUS_RCVD)
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not _may_be_sent(code):
        return Closing(CloseReason.PROTOCOL_ERROR, "The close frame has no valid code.")
    try:
        payload[2:].decode("utf-8")
    except UnicodeDecodeError:
        return Closing(CloseReason.INVALID_FRAME_PAYLOAD_DATA, "A reason is UTF-8.")
    return Closing(code)


def _may_be_sent(code: int) -> bool:
    if not MIN_CLOSE_REASON <= code <= MAX_CLOSE_REASON or code in LOCAL_ONLY_CLOSE_REASONS:
        return False
    return code > MAX_PROTOCOL_CLOSE_REASON or code in set(CloseReason)
