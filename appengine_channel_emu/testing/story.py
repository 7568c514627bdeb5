"""Why a page of a test stays silent, as a text: what the emulator finds (`web/explain.py`), and how its socket stands.

Here nothing is concluded: the console, the log and the command line tell the same findings.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

from appengine_channel_emu.testing.transports import EmulatorAway, Transport

MOST_FINDINGS = 6
"""Findings that are told; the likeliest come first."""

INDENT = "    "


def tell(transport: Transport, client_id: str | None, token: str | None, state: Sequence[str] = ()) -> str:
    """Lines: a sentence that sums up, those of `state`, and what else was found, with what to do below each.

    It is about the page of `client_id` or, where that is not known, of `token`. Never raises `EmulatorAway`: that
    nobody answers is the story, then.
    """
    try:
        story = _asked(transport, client_id, token)
    except EmulatorAway as away:
        return "\n".join((str(away), *state))
    first, *others = [_lines(finding) for finding in story["findings"][:MOST_FINDINGS]] or [[story["summary"]]]
    if first[0] != story["summary"]:
        first.insert(0, story["summary"])
    # What two findings advise, or both are, is said once.
    return "\n".join(dict.fromkeys([*first, *state, *chain.from_iterable(others)]))


def _lines(finding: dict[str, Any]) -> list[str]:
    return [finding["text"], INDENT + finding["advice"]] if finding["advice"] else [finding["text"]]


def _asked(transport: Transport, client_id: str | None, token: str | None) -> dict[str, Any]:
    query = {"client_id": client_id} if client_id is not None else {"token": token or ""}
    reply = transport.request("GET", "/_emu/explain", query)
    if reply.status != 200:
        # Such as one that answers its own machine alone.
        why = reply.body.decode("utf-8", "replace").strip() or reply.reason
        return {"summary": f"The emulator does not say why: {reply.status} {why}", "findings": []}
    story: dict[str, Any] = json.loads(reply.body)
    return story
