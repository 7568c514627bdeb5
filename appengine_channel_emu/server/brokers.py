"""Which broker a service has: one of its own, which a store may keep, or one that it shares with others on a Redis."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from typing import TYPE_CHECKING

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import SystemClock
from appengine_channel_emu.broker.contract import BrokerOptions, PresencePost
from appengine_channel_emu.broker.saving import Store
from appengine_channel_emu.broker.store import SqliteStore, StoreInUse
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.server.saver import Saver
from appengine_channel_emu.settings import BadSetting, Settings, redis_password
from appengine_channel_emu.timer import TimerThread

if TYPE_CHECKING:
    from appengine_channel_emu.broker.redis.broker import RedisBroker

EVERY_ADDRESS = ("0.0.0.0", "::")
"""What an emulator listens on that other machines find by this one's name."""

log = logging.getLogger("channel_emu")


def embedded_broker(
    settings: Settings, posts: PresencePost | None, timer: TimerThread
) -> tuple[EmbeddedBroker, Saver | None]:
    """The broker of this process alone, and what saves what it keeps, if that is to be kept and can be."""
    store = _open_store(settings)
    state = store.load() if store else None
    broker = EmbeddedBroker(SystemClock(), _options(settings), posts, state, store is not None, timer)
    return broker, Saver(broker, store) if store else None


def shared_broker(
    settings: Settings, posts: PresencePost | None, timer: TimerThread, local_address: str
) -> RedisBroker:
    """One node of the service on the Redis of `settings`, which this machine reaches at `local_address`.

    Raises `CannotStart`.
    """
    port = local_address.rpartition(":")[2]
    try:
        # Who has no Redis needs nothing of it.
        from appengine_channel_emu.broker.redis.broker import RedisBroker
        from appengine_channel_emu.broker.redis.calls import RedisRefused
        from appengine_channel_emu.broker.redis.target import RedisTarget
    except ImportError as error:
        text = f"--redis needs more packages ({error.name}): pip install 'appengine-channel-emu[redis]'"
        raise CannotStart(text) from error
    assert settings.redis is not None
    if settings.redis_name is None:
        raise CannotStart("--redis-name is missing: it says whose channels these are.")
    machine = socket.gethostname()
    name = settings.node_name or f"{machine}:{port}"
    address = f"{machine}:{port}" if settings.host in EVERY_ADDRESS else local_address
    try:
        target = RedisTarget.parse(settings.redis, redis_password(settings, os.environ))
        return RedisBroker(target, settings.redis_name, name, _options(settings), posts, timer, address=address)
    except (RedisRefused, BadSetting) as error:
        raise CannotStart(str(error)) from error
    except OSError as error:
        raise CannotStart(f"The Redis at {target} cannot be reached: {_why_unreachable(error)}") from error


def _why_unreachable(error: OSError) -> str:
    """What kept us from a Redis, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"TLS fails, {error.verify_message}. The variable SSL_CERT_FILE names certificates to trust instead of the "
            "system's."
        )
    if isinstance(error, ssl.SSLError) or "handshake" in str(error):
        return "TLS fails: what answers there speaks none, it seems. Without TLS the URL begins with redis://."
    return f"{error.strerror or error}. Start one (redis-server), or give --redis another URL."


def _open_store(settings: Settings) -> Store | None:
    folder = settings.state_folder()
    if folder is None:
        if settings.state_dir == "auto":
            log.warning("Nothing is kept over a restart: there is no home folder. --state-dir FOLDER names another.")
        return None
    try:
        return SqliteStore(folder)
    except StoreInUse as error:
        log.warning("%s; this one keeps nothing.", str(error).capitalize())
    except OSError as error:
        # Those of the system say what, ours say what to do as well.
        why = f"{folder} cannot be used ({error.strerror}); choose another --state-dir" if error.strerror else error
        log.warning("Nothing is kept over a restart: %s.", why)
    return None


def _options(settings: Settings) -> BrokerOptions:
    return BrokerOptions(
        tabs=settings.tabs,
        resume_window=settings.resume_window,
        disconnect_after=settings.disconnect_after,
        backlog_messages=settings.backlog,
        backlog_bytes=settings.backlog_bytes,
        backlog_total=settings.backlog_total,
        max_sockets=settings.max_sockets,
        max_tokens=settings.max_tokens,
        event_log=settings.event_log,
        push_after_answer=settings.push_after_answer / 1000,
    )
