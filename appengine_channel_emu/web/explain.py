"""Why a page stays silent: what is known of the messages of one client id, put into sentences, the likeliest first.

The one story: the console, the command line, `NoMessage` and /_emu/near-misses tell it in these words. What is true of
a single message as it is dropped is said by the broker itself (`broker/drops.py`), and stands here as in the log. What
is looked for is in `reasons.py` and `message_reasons.py`, what to do about it in `findings.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.journal import SentMessage
from appengine_channel_emu.web.case import Case
from appengine_channel_emu.web.findings import Finding, found
from appengine_channel_emu.web.message_reasons import dropped, of_receipts
from appengine_channel_emu.web.reasons import LOOKS, faults, refused_open, refused_requests
from appengine_channel_emu.web.refusals import SHOWN_OF_TOKEN


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of the messages of a client id, in one sentence and in several, the likeliest reason first."""

    client_id: str
    summary: str
    findings: list[Finding]


def explain(broker: Broker, client_id: str, notes: Collection[str] = ()) -> Explanation:
    """Why a page of `client_id` may stay silent; `notes` are the names of what was noted (`Notes`).

    Looks at the messages and events that are kept, so it costs milliseconds, and can know no more than they do.
    """
    case = Case(broker, client_id, notes)
    weighed = [(weight, finding) for look in LOOKS for weight, finding in look(case)]
    # In the order of the looks where they weigh the same.
    findings = [finding for _, finding in sorted(weighed, key=_heaviest)] or [_unknown(case)]
    return Explanation(client_id, findings[0].text, findings)


def explain_message(broker: Broker, sent: SentMessage) -> list[Finding]:
    """What became of one message, the likeliest reason first why its page does not show it."""
    findings = [finding for _, finding in faults(Case(broker, sent.client_id))]
    if sent.reason is not None:
        return [dropped(sent, 1), *findings]
    receipts = broker.control.receipts(sent)
    return [*of_receipts(receipts, "The message"), *findings]


def near_misses(broker: Broker, client_id: str, notes: Collection[str] = ()) -> list[str]:
    """The sentences of `explain`."""
    return [finding.text for finding in explain(broker, client_id, notes).findings]


def explain_token(broker: Broker, token: str, notes: Collection[str] = ()) -> Explanation:
    """The same for a page that has `token`, which may open nothing: then its client id may not be known."""
    client_id = broker.client_id_of(token)
    refused = [event for event in broker.events.after(0) if event.kind == "open_refused"]
    own = [event for event in refused if event.detail.get("token") == token[:SHOWN_OF_TOKEN]]
    if client_id == token:
        client_id = next((event.client_id for event in reversed(own) if event.client_id), "")
    if client_id:
        return explain(broker, client_id, notes)
    findings = [refused_open(event) for event in own[-1:]] or [found("open_refused", "No page came with this token.")]
    findings += [finding for _, finding in sorted(refused_requests(Case(broker, "", notes)), key=_heaviest)]
    return Explanation("", findings[0].text, findings)


def _heaviest(weighed: tuple[int, Finding]) -> int:
    return -weighed[0]


def _unknown(case: Case) -> Finding:
    return found("no_message", f"What was sent to {case.name} is not known any more.")
