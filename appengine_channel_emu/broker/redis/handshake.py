"""How a connection begins: who we are, whether this Redis can be used at all, and which of its runs it is."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from appengine_channel_emu.broker.redis.calls import RedisRefused
from appengine_channel_emu.broker.redis.conversation import Conversation
from appengine_channel_emu.broker.redis.scripts import Argument, call_with_text, names, packed, script
from appengine_channel_emu.broker.redis.target import RedisTarget

SCHEMA = "1"
"""Of what is kept in Redis. Two emulators with different ones do not share a service."""

OLDEST_VERSION = 7

_AWAY = ("LOADING", "MASTERDOWN", "BUSY", "max number of clients")


class Welcome(NamedTuple):
    """What a node is told as it begins. `kept`: it is known still, and so is what it holds.

    `lost_tail`: this Redis has been restarted, and what it was told last may be missing. `time` is milliseconds of
    Redis's own clock, `now` of the service's; `events`, `messages` and `resets` are the
    numbers of the last of each.
    """

    key: bytes
    epoch: int
    kept: bool
    lost_tail: bool
    time: int
    now: int
    frozen: bool
    events: int
    messages: int
    resets: int
    version: str


def greet(
    conversation: Conversation,
    target: RedisTarget,
    prefix: tuple[Argument, ...],
    channels: list[str],
    new_key: bytes,
    known_epoch: int,
    again: bool,
) -> Welcome:
    """Begin as the node of `prefix`, and listen to `channels`. Raises `RedisRefused` or OSError."""
    _sign_in(conversation, target)
    info = _ok(conversation.ask(packed("INFO", "everything"))[0])
    run_id, version = check_info(info.decode("utf-8", "replace"), target)
    loads = [packed("SCRIPT", "LOAD", script(name).text) for name in names()]
    for reply in conversation.ask(*loads):
        _ok(reply)
    boot = call_with_text("boot", *prefix, SCHEMA, run_id, known_epoch, new_key, int(again))
    # From here on nothing that is meant for this node is missed: what it subscribes to first, it asks for behind that.
    _subscribe(conversation, channels)
    reply = _ok(conversation.ask(boot)[0])
    if reply[0] == b"schema":
        raise RedisRefused(
            f"The Redis at {target} holds a service of schema {reply[1].decode()}, and this emulator speaks schema "
            f"{SCHEMA}. Nothing was changed. Start emulators of one version alone, or choose another --redis-name."
        )
    _, key, epoch, kept, lost, redis_time, now, frozen, *numbers = reply
    events, messages, resets = map(int, numbers)
    return Welcome(key, epoch, bool(kept), bool(lost), redis_time, now, bool(frozen), events, messages, resets, version)


def _sign_in(conversation: Conversation, target: RedisTarget) -> None:
    user = target.user or "default"
    hello: list[Argument] = ["HELLO", 3]
    if target.password is not None:
        hello += ["AUTH", user, target.password]
    reply = conversation.ask(packed(*hello))[0]
    if isinstance(reply, Exception):
        text = str(reply)
        if text.startswith(("WRONGPASS", "NOAUTH", "NOPERM")) or "AUTH" in text.upper().split()[:2]:
            given = "The password was refused" if target.password is not None else "It wants a password"
            raise RedisRefused(
                f"The Redis at {target} does not let us in. {given} (user {user}): use CHANNEL_EMU_REDIS_PASSWORD or "
                "--redis-password-file."
            )
        if "unknown command" in text or text.startswith("NOPROTO"):
            raise RedisRefused(
                f"The Redis at {target} is older than {OLDEST_VERSION}: use Redis {OLDEST_VERSION} or newer."
            )
        _ok(reply)
    if target.database:
        _ok(conversation.ask(packed("SELECT", target.database))[0])


def check_info(info: str, target: RedisTarget) -> tuple[str, str]:
    """The run id and the version, from what INFO says."""
    facts = info_facts(info)
    version = facts.get("redis_version", "")
    if not version[:1].isdigit() or int(version.split(".")[0]) < OLDEST_VERSION:
        raise RedisRefused(
            f"The Redis at {target} has version {version or 'unknown'}: use Redis {OLDEST_VERSION} or newer."
        )
    if facts.get("redis_mode") == "cluster" or facts.get("cluster_enabled") == "1":
        raise RedisRefused(f"The Redis at {target} is a Redis Cluster: use a single primary.")
    if facts.get("role") == "slave":
        raise RedisRefused(f"The Redis at {target} is a replica: use the primary.")
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise RedisRefused(
            f"The Redis at {target} throws keys away when its memory is full (maxmemory-policy {policy}), and "
            "messages with them. Set maxmemory-policy noeviction."
        )
    return facts["run_id"], version


def info_facts(info: str) -> dict[str, str]:
    """What INFO says, by name."""
    return dict(re.findall(r"^(\w+):(.*?)\r?$", info, re.MULTILINE))


def _subscribe(conversation: Conversation, channels: list[str]) -> None:
    # In RESP3 the confirmation of each is a push, and counts here as its reply.
    for reply in conversation.ask(*[packed("SUBSCRIBE", channel) for channel in channels]):
        _ok(reply)


def _ok(reply: Any) -> Any:
    """The reply, if it is none of an error."""
    if not isinstance(reply, Exception):
        return reply
    text = str(reply)
    if text.startswith(_AWAY) or "max number of clients" in text:
        raise ConnectionError(text)
    raise RedisRefused(f"Redis answered: {text}")
