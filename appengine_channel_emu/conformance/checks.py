"""What a server of the Channel API must do, check by check (facts.md; deliberate differences of ours are marked)."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time

from appengine_channel_emu.conformance.results import Checks, Result, new_name, passed_if
from appengine_channel_emu.conformance.server import CheckedServer

PUSH_SECONDS = 0.1
EXPIRY_SLACK = 5.0
PRESENCE_SECONDS = 6.0
DEADLINE = 30.0
DEADLINE_SLACK = 2.0
NO_PROBE = "run the probe app at this URL: its folder is in --help"

check = Checks()


def _drain(server: CheckedServer, token: str, count: int) -> list[str]:
    texts = []
    for _ in range(count + 3):
        answer = server.dev("poll", token)
        if answer.data:
            texts.append(answer.data.decode("utf-8", "replace"))
    return texts


@check("tokens: of [A-Za-z0-9_-], 20 to 256 characters")
def _shape(server: CheckedServer) -> Result:
    token = server.token(new_name())
    return passed_if(re.fullmatch(r"[A-Za-z0-9_-]{20,256}", token) is not None, f"{len(token)} characters")


@check("tokens: at most 256 characters for a client id of 256 bytes")
def _long_client_id(server: CheckedServer) -> Result:
    token = server.token(new_name().ljust(256, "x"))
    return passed_if(len(token) <= 256, f"{len(token)} characters: send_message refuses such a token")


@check("tokens: two for one client id differ, and both work")
def _two_tokens(server: CheckedServer) -> Result:
    name = new_name()
    first, second = server.token(name), server.token(name)
    statuses = [server.dev("connect", token).status for token in (first, second)]
    return passed_if(first != second and statuses == [200, 200], f"equal: {first == second}, statuses {statuses}")


@check("tokens: one that somebody made up is refused")
def _forged(server: CheckedServer) -> Result:
    rest = f"channel-{secrets.randbits(32)}-{int(time.time()) + 3600}-{new_name()}"
    # The dev server's own scheme has no key in it (facts.md 1.6).
    forged = f"{hashlib.md5(rest.encode(), usedforsecurity=False).hexdigest()}-{rest}"
    answer = server.dev("connect", forged)
    return passed_if(answer.status == 401, f"accepted with {answer.status}")


@check("client ids: not in ASCII")
def _foreign(server: CheckedServer) -> Result:
    return _delivers(server, new_name("-日本-é"))


@check("client ids: with + & # % and spaces")
def _punctuation(server: CheckedServer) -> Result:
    return _delivers(server, new_name("+&#% /"))


def _delivers(server: CheckedServer, client_id: str) -> Result:
    token = server.token(client_id)
    status = server.dev("connect", token).status
    if status != 200:
        return Result("failed", f"connect answered {status}")
    server.send(client_id, "x")
    texts = _drain(server, token, 1)
    return passed_if(texts == ["x"], f"received {texts}")


@check("limits: client ids of 0 and 257 bytes are refused with code 2")
def _client_id_limits(server: CheckedServer) -> Result:
    codes = [server.create("").code, server.create("x" * 257).code]
    return passed_if(codes == [2, 2], f"codes {codes}")


@check("limits: durations of 0 and 1441 minutes are refused with code 4")
def _duration_limits(server: CheckedServer) -> Result:
    codes = [server.create(new_name(), minutes).code for minutes in (0, 1441)]
    return passed_if(codes == [4, 4], f"codes {codes}")


@check("limits: messages of 0 and 32,768 bytes are refused with code 3, one of 32,767 is not")
def _message_limits(server: CheckedServer) -> Result:
    name = new_name()
    codes = [server.send(name, "x" * length).code for length in (0, 32768, 32767)]
    return passed_if(codes == [3, 3, 0], f"codes {codes}")


@check("dev wire: connect answers 200 with the body 1")
def _connect(server: CheckedServer) -> Result:
    answer = server.dev("connect", server.token(new_name()))
    return passed_if((answer.status, answer.data) == (200, b"1"), f"{answer.status} {answer.data[:20]!r}")


@check("dev wire: an unknown token is answered 401 Invalid+token., to the letter")
def _unknown_token(server: CheckedServer) -> Result:
    answers = [server.dev(command, "nonsense") for command in ("connect", "poll")]
    seen = [f"{answer.status} {answer.reason}" for answer in answers]
    return passed_if(seen == ["401 Invalid+token."] * 2, seen)


@check("dev wire: without or with an unknown command 400")
def _bad_command(server: CheckedServer) -> Result:
    token = server.token(new_name())
    statuses = [server.get("/_ah/channel/dev", channel=token).status, server.dev("wave", token).status]
    return passed_if(statuses == [400, 400], f"statuses {statuses}")


@check("dev wire: an empty poll is 200 without a body; nothing is kept in a cache")
def _empty_poll(server: CheckedServer) -> Result:
    token = server.token(new_name())
    server.dev("connect", token)
    answer = server.dev("poll", token)
    fine = (answer.status, answer.data) == (200, b"") and "no-cache" in answer.headers.get("Cache-Control", "")
    return passed_if(fine, f"{answer.status}, {len(answer.data)} bytes, {answer.headers.get('Cache-Control')}")


@check("dev wire: disconnect")
def _disconnect(server: CheckedServer) -> Result:
    token = server.token(new_name())
    server.dev("connect", token)
    status = server.dev("disconnect", token).status
    if status == 200:
        return Result("different", "200, and it disconnects; the SDK's dev server answers 400 and does not")
    return passed_if(status == 400, f"status {status}")


@check("delivery: in order, one message a poll, as the app sent it")
def _order(server: CheckedServer) -> Result:
    name = new_name()
    token = server.token(name)
    server.dev("connect", token)
    sent = [f'{{"n": {number}, "text": "é日💩"}}' for number in range(20)]
    for text in sent:
        server.send(name, text)
    received = _drain(server, token, len(sent))
    return passed_if(
        received == sent, f"received {len(received)} of {len(sent)}, in order: {received == sorted(received)}"
    )


@check("delivery: send takes a token instead of a client id; to nobody it succeeds")
def _by_token(server: CheckedServer) -> Result:
    token = server.token(new_name())
    server.dev("connect", token)
    codes = [server.send(token, "x").code, server.send(new_name(), "x").code]
    received = _drain(server, token, 1)
    return passed_if((codes, received) == ([0, 0], ["x"]), f"codes {codes}, received {received}")


@check("delivery: two pages of one client id get every message each")
def _two_pages(server: CheckedServer) -> Result:
    name = new_name()
    tokens = [server.token(name), server.token(name)]
    for token in tokens:
        server.dev("connect", token)
    for text in ("a", "b"):
        server.send(name, text)
    received = [_drain(server, token, 2) for token in tokens]
    return passed_if(received == [["a", "b"]] * 2, f"they compete: {received}")


@check("push: a message reaches a waiting page within 0.1 s")
def _push(server: CheckedServer) -> Result:
    name = new_name()
    opened = server.json("/_ah/channel/open", channel=server.token(name))
    if opened is None:
        return Result("failed", "there is no long poll: pages ask every 0.5 s")
    # The best of three: the machine may be busy with other things.
    took = min(_seconds_to_arrive(server, name, opened["socket"], number) for number in range(3))
    return passed_if(took < PUSH_SECONDS, f"{took:.2f} s")


def _seconds_to_arrive(server: CheckedServer, client_id: str, socket: str, after: int) -> float:
    arrived: list[float] = []

    def poll() -> None:
        server.json("/_ah/channel/poll", socket=socket, after=after, wait=5)
        arrived.append(time.monotonic())

    page = threading.Thread(target=poll, daemon=True)
    page.start()
    time.sleep(0.3)  # until the poll waits at the server
    sent = time.monotonic()
    server.send(client_id, "x")
    page.join(6)
    took = arrived[0] - sent if arrived else float("inf")
    # An answer before there was a message is none.
    return took if took >= 0 else float("inf")


@check("push: a lost answer is given again")
def _lost_answer(server: CheckedServer) -> Result:
    name = new_name()
    opened = server.json("/_ah/channel/open", channel=server.token(name))
    if opened is None:
        return Result("failed", "a message is gone with the answer that carried it")
    server.send(name, "x")
    answers = [server.json("/_ah/channel/poll", socket=opened["socket"], after=0, wait=1) for _ in range(2)]
    return passed_if(answers[0] == answers[1] and answers[0]["messages"] == ["x"], answers)


@check("script: /_ah/channel/jsapi, small enough and with a validator for caches")
def _script(server: CheckedServer) -> Result:
    answer = server.get("/_ah/channel/jsapi")
    fine = answer.status == 200 and b"goog" in answer.data
    cached = "ETag" in answer.headers or "Last-Modified" in answer.headers
    return passed_if(fine and cached and len(answer.data) < 100_000, f"{len(answer.data)} bytes, validator: {cached}")


@check("presence: connected/ once, disconnected/ once, in order")
def _presence(server: CheckedServer) -> Result:
    return _tells(server, new_name())


@check("presence: the client id arrives as the app gave it")
def _presence_encoding(server: CheckedServer) -> Result:
    return _tells(server, new_name("@a/b &c+%41"))


def _tells(server: CheckedServer, name: str) -> Result:
    if server.json("/channel-probe") is None:
        return Result("not checked", NO_PROBE)
    token = server.token(name)
    server.dev("connect", token)
    server.dev("disconnect", token)
    posts: list[str] = []
    give_up = time.monotonic() + PRESENCE_SECONDS
    while len(posts) < 2 and time.monotonic() < give_up:
        time.sleep(0.1)
        posts = [what for what, client_id in server.json("/channel-probe") or [] if client_id == name]
    return passed_if(posts == ["connected", "disconnected"], f"the app was told {posts or 'nothing'} of {name!r}")


@check("deadline: the app's request is ended after 30 s", slow=True)
def _deadline(server: CheckedServer) -> Result:
    if server.json("/channel-probe") is None:
        return Result("not checked", NO_PROBE)
    started = time.monotonic()
    answer = server.hold("/channel-probe/hold", DEADLINE + 30)
    took = time.monotonic() - started
    ended = answer.status == 500 and abs(took - DEADLINE) < DEADLINE_SLACK
    return passed_if(ended, f"it was held for {took:.0f} s and answered {answer.status}")


@check("expiry: a token of one minute ends an open page with 401 Token+timed+out.", slow=True)
def _expiry(server: CheckedServer) -> Result:
    token = server.token(new_name(), 1)
    give_up = time.monotonic() + 60 + EXPIRY_SLACK
    server.dev("connect", token)
    while time.monotonic() < give_up:
        answer = server.dev("poll", token)
        if answer.status != 200:
            seen = f"{answer.status} {answer.reason}"
            return passed_if(seen == "401 Token+timed+out.", seen)
        time.sleep(0.5)
    return Result("failed", f"it still worked {EXPIRY_SLACK:g} s after its minute")
