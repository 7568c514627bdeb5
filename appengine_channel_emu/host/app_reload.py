"""An app.yaml that is changed while it is served: the next request follows it, as with the dev server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from appengine_channel_emu.host.app_backend import AppBackend
from appengine_channel_emu.host.app_checks import for_python3, read_config
from appengine_channel_emu.host.app_yaml import AppConfig
from appengine_channel_emu.host.backend import AppAnswer
from appengine_channel_emu.host.errors import BackendUnavailable, CannotStart
from appengine_channel_emu.host.pages import error_page
from appengine_channel_emu.host.source_watch import SourceWatch, stamp_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

RETRY_SECONDS = 0.5
"""Between two readings of an app.yaml that cannot be served and has not changed: what it names may be there by then."""

log = logging.getLogger("channel_emu.app")


class ReloadingBackend:
    """The `AppBackend` that `make` gives for `config`, and another whenever a file that it was read from changes.

    A change that cannot be served gives visitors a page that says what is wrong with it, until it is fixed.
    """

    looks_for_app = False

    def __init__(self, config: AppConfig, make: Callable[[AppConfig], AppBackend]) -> None:
        self._config = config
        self._make = make
        self._lock = threading.Lock()
        self._idle = threading.Condition()
        self._active: dict[AppBackend, int] = {}
        self._current = self._fresh = make(config)
        self._watch = _watch(config.files)
        self._reloaded_at = 0.0
        self._problem: str | None = None
        self._stopped = False
        self.description = self._current.description
        self.takes_presence = self._current.takes_presence
        self.presence_hint = self._current.presence_hint

    def share_sign_in(self, service: str, key: Callable[[], bytes]) -> None:
        """See `Backend`. Those that `make` gives later have the same sign-in."""
        self._current.share_sign_in(service, key)

    def start(self) -> None:
        """See `Backend`."""
        self._current.start()

    def stop(self) -> None:
        """See `Backend`."""
        # Without the lock, which a reload holds while the app is imported.
        self._stopped = True
        with self._idle:
            backends = {self._current, self._fresh, *self._active}
        for backend in backends:
            backend.stop()

    def why_unreachable(self) -> None:
        """See `Backend`."""

    def serve(self, environ: WSGIEnvironment, request_id: str | None) -> AppAnswer:
        """See `Backend`."""
        try:
            backend = self._take()
        except BackendUnavailable as problem:
            text = "This page goes away with the next request after the file is fixed."
            return error_page(environ, 500, "app.yaml cannot be served", text, detail=str(problem))
        try:
            return backend.serve(environ, request_id)
        finally:
            self._give_back(backend)

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        """See `Backend`."""
        backend = self._take()
        try:
            return backend.post(path, body, content_type, timeout)
        finally:
            self._give_back(backend)

    def _take(self) -> AppBackend:
        """The backend for a request that comes now. Raises `BackendUnavailable` with what is wrong with app.yaml."""
        with self._lock:
            if (self._watch.changed() or self._retry_is_due()) and not self._stopped:
                self._reload()
            if self._problem is not None:
                raise BackendUnavailable(self._problem)
            with self._idle:
                self._active[self._current] = self._active.get(self._current, 0) + 1
            return self._current

    def _give_back(self, backend: AppBackend) -> None:
        with self._idle:
            self._active[backend] -= 1
            if not self._active[backend]:
                del self._active[backend]
                self._idle.notify_all()

    def _retry_is_due(self) -> bool:
        return self._problem is not None and time.monotonic() - self._reloaded_at >= RETRY_SECONDS

    def _reload(self) -> None:
        self._reloaded_at = time.monotonic()
        # Looked at before they are read, so that no change in between is missed.
        self._watch = _watch(self._config.files)
        try:
            config = for_python3(read_config(self._config.path))
            self._fresh = self._make(config)
            self._fresh.start()
        except CannotStart as error:
            if self._problem != str(error):
                log.warning("%s", error)
            self._problem = str(error)
            return
        self._watch.add(_seen(set(config.files).difference(self._config.files)), ())
        log.info("%s has changed: the app is served by it from here on.", config.path.name)
        if self._fresh.takes_presence != self.takes_presence:
            log.warning("A change of inbound_services takes effect when channel-emu is started again.")
        older, self._current, self._config, self._problem = self._current, self._fresh, config, None
        threading.Thread(target=self._retire, args=(older,), name="retire", daemon=True).start()

    def _retire(self, backend: AppBackend) -> None:
        with self._idle:
            self._idle.wait_for(lambda: backend not in self._active)
        backend.stop()


def _watch(paths: Iterable[Path]) -> SourceWatch:
    watch = SourceWatch()
    watch.add(_seen(paths), ())
    return watch


def _seen(paths: Iterable[Path]) -> dict[str, list[float]]:
    return {str(path): stamp_of(str(path)) for path in paths}
