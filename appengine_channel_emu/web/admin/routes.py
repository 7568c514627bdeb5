"""Every path of the admin API, and the resources that are about the emulator as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import Any

import falcon

from appengine_channel_emu import __version__
from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.faults import BadFault, Fault, Faults
from appengine_channel_emu.faults.gate import FaultGate
from appengine_channel_emu.notes import Notes
from appengine_channel_emu.web.accounts import Accounts
from appengine_channel_emu.web.admin.channels import (
    ChannelResource,
    ChannelsResource,
    MessageResource,
    MessagesResource,
    SocketsResource,
)
from appengine_channel_emu.web.admin.events import AwaitedMessagesResource, EventsResource, EventWatch
from appengine_channel_emu.web.admin.explanations import ExplainResource, NearMissesResource
from appengine_channel_emu.web.admin.metrics import MetricsResource
from appengine_channel_emu.web.admin.status import About, Status, clock_report
from appengine_channel_emu.web.later import patient
from appengine_channel_emu.web.refusals import Refusals
from appengine_channel_emu.web.resources import BadRequest, Query, answer_json, read_json

FARTHEST_ADVANCE = 100_000_000
"""Seconds of one advance: three years."""

ASK_THE_BROKER = frozenset(
    f"/_emu/{name}"
    for name in ("channels", "channel", "sockets", "message", "explain", "near-misses", "clock", "faults", "reset")
    + ("status", "metrics", "cluster")
)
"""Paths whose answer waits for the broker, where that is not in this process."""

_FAULT_FIELDS = {
    "stage": str,
    "action": str,
    "seconds": (int, float, type(None)),
    "error": (str, type(None)),
    "probability": (int, float),
    "count": (int, type(None)),
    "client_id": (str, type(None)),
    "path": (str, type(None)),
    "seed": int,
}


def admin_resources(
    broker: Broker,
    faults: FaultGate,
    accounts: Accounts,
    notes: Notes,
    about: About,
    reset: Callable[[], None],
    refusals: Refusals,
) -> dict[str, object]:
    """Resources of the admin API by path; `reset` forgets everything."""
    # Apps call these two by thousands: they never wait on a thread.
    calls: dict[str, object] = {
        "/_emu/channels": ChannelsResource(broker, faults, refusals),
        "/_emu/messages": MessagesResource(broker, faults, refusals),
    }
    broker = patient(broker)
    watch = EventWatch(broker)
    ready = ReadyResource(about.why_not_ready, about.why_degraded)
    return calls | {
        "/_emu/health": ready,
        "/_emu/health/ready": ready,
        "/_emu/health/live": ReportResource(lambda: {"status": "live", "version": __version__}),
        "/_emu/status": ReportResource(Status(broker, about).report),
        "/_emu/cluster": ClusterResource(about.cluster),
        "/_emu/channel": ChannelResource(broker),
        "/_emu/sockets": SocketsResource(broker),
        "/_emu/explain": ExplainResource(broker, notes, about.settings),
        "/_emu/near-misses": NearMissesResource(broker, notes, about.settings),
        "/_emu/events": EventsResource(broker, watch),
        "/_emu/message": MessageResource(broker),
        "/_emu/messages/wait": AwaitedMessagesResource(broker, watch),
        "/_emu/clock": ClockResource(broker),
        "/_emu/faults": FaultsResource(broker.faults),
        "/_emu/reset": ResetResource(reset),
        # By the names that users write; there is no secret among them.
        "/_emu/settings": ReportResource(lambda: {"settings": about.settings}),
        "/_emu/accounts": ReportResource(lambda: {"accounts": [asdict(account) for account in accounts.all()]}),
        "/_emu/metrics": MetricsResource(broker, accounts.answered, about.node),
        "/_emu/notes": ReportResource(lambda: {"notes": [asdict(note) for note in notes.all()]}),
        "/_emu/openapi.json": ReportResource(_document),
    }


class ReportResource:
    """`GET` of what `read` says, as JSON."""

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        self._read = read

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What there is to say; there are no parameters."""
        Query(req)
        answer_json(resp, self._read())


class ClusterResource:
    """`GET /_emu/cluster`: the emulators that are one service, and their Redis."""

    def __init__(self, read: Callable[[], dict[str, Any]] | None) -> None:
        self._read = read

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All of them; 404 where this emulator is alone."""
        Query(req)
        if self._read is None:
            raise BadRequest(
                "This emulator is alone: several are one service where each is started with --redis "
                "(docs/several-emulators.md).",
                "404 Not Found",
            )
        answer_json(resp, self._read())


class ReadyResource:
    """`GET /_emu/health` and `/_emu/health/ready`."""

    def __init__(self, why_not_ready: Callable[[], str | None], why_degraded: Callable[[], str | None]) -> None:
        self._why_not_ready = why_not_ready
        self._why_degraded = why_degraded

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """200 while the app can be reached too, 503 and the reason otherwise.

        A service whose Redis is away is degraded, with 200: a balancer that took all its nodes away would end pages
        that otherwise just wait.
        """
        Query(req)
        why, degraded = self._why_not_ready(), self._why_degraded()
        if why is not None:
            body = {"status": "not ready", "reason": why, "version": __version__}
            answer_json(resp, body, "503 Service Unavailable")
        elif degraded is not None:
            answer_json(resp, {"status": "degraded", "reason": degraded, "version": __version__})
        else:
            answer_json(resp, {"status": "ready", "version": __version__})


class ClockResource:
    """`GET /_emu/clock`, `POST /_emu/clock {advance?, frozen?}`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def _freeze(self, frozen: bool) -> None:
        changes = frozen is not self._broker.clock.frozen
        self._broker.clock.freeze(frozen)
        if changes:
            text = "The clock stands still." if frozen else "The clock goes on."
            self._broker.note("clock_frozen", text, detail={"frozen": frozen})

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The time, and what was done to it."""
        Query(req)
        self._answer(resp)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Let it stand still or go, then advance it; what falls due on the way has happened when this answers."""
        Query(req)
        body = read_json(req, {"advance": (int, float), "frozen": bool})
        if not body:
            raise BadRequest("Give 'advance' (seconds), 'frozen' (true or false), or both.")
        if not 0 <= body.get("advance", 0) <= FARTHEST_ADVANCE:
            raise BadRequest(f"The field 'advance' is a number of seconds from 0 to {FARTHEST_ADVANCE}.")
        try:
            if "frozen" in body:
                self._freeze(body["frozen"])
            if "advance" in body:
                self._broker.control.travel(float(body["advance"]))
        except ValueError as error:
            raise BadRequest(str(error), "409 Conflict") from None
        self._answer(resp)

    def _answer(self, resp: falcon.Response) -> None:
        answer_json(resp, clock_report(self._broker))


class ResetResource:
    """`POST /_emu/reset {}`."""

    def __init__(self, reset: Callable[[], None]) -> None:
        self._reset = reset

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Forget tokens, sockets, messages, events, faults, notes and accounts."""
        Query(req)
        read_json(req, {})
        self._reset()
        answer_json(resp, {"status": "reset"})


class FaultsResource:
    """`GET /_emu/faults`, `POST` to add one, `DELETE /_emu/faults[?number=N]` to remove one or all."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The faults in force."""
        Query(req)
        self._answer(resp)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Put one in force."""
        Query(req)
        body = read_json(req, _FAULT_FIELDS, required=("stage", "action"))
        try:
            number = self._faults.add(Fault(**body))
        except BadFault as error:
            raise BadRequest(f"{str(error)[:1].upper()}{str(error)[1:]}.", "409 Conflict") from None
        answer_json(resp, {"number": number})

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Take one away, or all of them."""
        query = Query(req, "number")
        if query.text("number") is None:
            self._faults.clear()
        elif not self._faults.remove(query.number("number", 0)):
            raise BadRequest("There is no fault of this number.", "404 Not Found")
        self._answer(resp)

    def _answer(self, resp: falcon.Response) -> None:
        answer_json(resp, {"faults": self._faults.listed()})


@cache
def _document() -> dict[str, Any]:
    import yaml

    source = resources.files("appengine_channel_emu") / "web" / "admin" / "openapi.yaml"
    document: dict[str, Any] = yaml.safe_load(source.read_text("utf-8"))
    document["info"]["version"] = __version__
    return document
