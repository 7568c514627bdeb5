"""Two emulators on one Redis are one service to whoever speaks HTTP to either of them (behaviour.md 13)."""

from __future__ import annotations

import threading
import time
from urllib.parse import urlencode

import pytest

from tests.cluster.service import MovingPage
from tests.support.waiting import LONG_ENOUGH, eventually, until

BROWSER = {"User-Agent": "A browser of the tests"}


@pytest.mark.parametrize("transport", ["poll", "stream"])
def test_what_is_sent_at_one_reaches_a_page_at_the_other(nodes, transport):
    first, second = nodes
    client_id = f"anna-{transport}"
    with second.page(first.create_channel(client_id), transport) as page:
        for number in range(3):
            assert first.send(client_id, f"message {number}") == 1
            assert page.receive(LONG_ENOUGH) == f"message {number}"


def test_a_page_may_poll_another_node_each_time(nodes):
    page = MovingPage(nodes, nodes[0].create_channel("bert"))
    for number in range(20):
        nodes[number % 3 % 2].send("bert", str(number))
    assert page.receive(20) == [str(number) for number in range(20)]


def test_each_tells_the_app_behind_itself_and_one_alone_does(nodes, shared):
    page = nodes[1].page(nodes[0].create_channel("carl")).open()
    until(lambda: shared.told_of("carl") == ["connected"])
    page.close()
    until(lambda: shared.told_of("carl") == ["connected", "disconnected"])
    addresses = {address for _, whom, address in shared.told() if whom == "carl"}
    assert addresses <= {node.address for node in nodes}


def test_the_wire_of_the_sdk_at_both_nodes(nodes):
    first, second = nodes
    token = second.create_channel("dora")

    def ask(node, command):
        query = urlencode({"command": command, "channel": token, "client": "1"})
        answer = node.request("GET", f"/_ah/channel/dev?{query}")
        return answer.status, answer.data.decode()

    assert ask(first, "connect") == (200, "1")
    assert first.send("dora", "one") == second.send("dora", "two") == 1
    assert [ask(node, "poll") for node in (second, first, second)] == [(200, "one"), (200, "two"), (200, "")]
    assert ask(second, "disconnect")[0] == 200
    eventually(
        lambda: first.ask("/_emu/messages", {"client_id": "dora", "message": "three"}), lambda sent: sent["reason"]
    )
    refused = first.request("GET", "/_ah/channel/dev?command=poll&channel=foreign")
    assert (refused.status, refused.reason) == (401, "Invalid+token.")


def test_the_server_api_at_both_nodes(nodes):
    from appengine_channel_emu.web.api import messages

    def call(node, method, request):
        body = messages.Request(
            service_name=b"channel", method=method, request=request.SerializeToString()
        ).SerializeToString()
        answer = node.request("POST", "/rpc_http", body=body, headers={"Content-Type": "application/octet-stream"})
        return messages.Response.FromString(answer.data)

    first, second = nodes
    made = call(first, b"CreateChannel", messages.CreateChannelRequest(application_key=b"emil"))
    token = messages.CreateChannelResponse.FromString(made.response).token.decode()
    with first.page(token) as page:
        call(second, b"SendChannelMessage", messages.SendMessageRequest(application_key=b"emil", message=b"hello"))
        assert page.receive(LONG_ENOUGH) == "hello"


def test_a_message_does_not_overtake_the_answer_at_another_node(nodes):
    """The app's request is at one node, and the poll of the same browser at the other."""
    first, second = nodes
    token = first.create_channel("fred")
    opened = second.request("GET", f"/_ah/channel/open?channel={token}", headers=BROWSER).json()
    after, times = 0, {}

    def poll():
        path = f"/_ah/channel/poll?socket={opened['socket']}&after={after}"
        times["messages"] = second.request("GET", path, headers=BROWSER).json()["messages"]
        times["poll"] = time.monotonic()

    for attempt in range(20):
        waiting = threading.Thread(target=poll)
        waiting.start()
        began = time.monotonic()
        first.request("GET", f"/send?to=fred&text={attempt}&seconds=0.1", headers=BROWSER)
        answered = time.monotonic()
        waiting.join(LONG_ENOUGH)
        after += 1
        assert times["messages"] == [str(attempt)]
        # What the machine held up for half a second may leave before the answer.
        if answered - began < 0.4:
            assert times["poll"] > answered
            return
    pytest.fail("none of 20 answers came within 0.4 s")


def test_behind_a_proxy_a_browser_is_who_the_proxy_says(nodes):
    """Another one, of the same kind, gets the message at once, and not after the answer."""
    first, second = nodes
    asking, waiting = (BROWSER | {"X-Forwarded-For": f"192.0.2.{number}"} for number in (1, 2))
    assert first.request("GET", "/address", headers=asking).data == b"192.0.2.1"
    token = first.create_channel("gerd")
    opened = second.request("GET", f"/_ah/channel/open?channel={token}", headers=waiting).json()
    polled, answered = [], []

    def poll(after):
        path = f"/_ah/channel/poll?socket={opened['socket']}&after={after}"
        second.request("GET", path, headers=waiting)
        polled.append(time.monotonic())

    for attempt in range(10):
        thread = threading.Thread(target=poll, args=(attempt,))
        thread.start()
        first.request("GET", f"/send?to=gerd&text={attempt}&seconds=0.3", headers=asking)
        answered.append(time.monotonic())
        thread.join(LONG_ENOUGH)
        if polled[-1] < answered[-1]:
            return
    pytest.fail("it never came before the answer")


def test_who_signs_in_at_one_is_signed_in_at_the_other(nodes):
    first, second = nodes
    signed_in = first.request(
        "POST",
        "/_ah/login",
        fields={"email": "gina@example.com", "action": "login"},
        encode_multipart=False,
        redirect=False,
    )
    cookie = signed_in.headers["Set-Cookie"].partition(";")[0]
    for node in nodes:
        assert node.request("GET", "/account", headers={"Cookie": cookie}).data == b"gina@example.com"
    name, _, value = cookie.partition("=")
    forged = {"Cookie": f"{name}={value[:-1]}{'0' if value[-1] != '0' else '1'}"}
    assert second.request("GET", "/account", headers=forged, redirect=False).status == 302


def test_a_fault_at_one_happens_at_the_other(nodes):
    first, second = nodes
    fault = {"stage": "send", "action": "drop", "client_id": "hans"}
    number = first.ask("/_emu/faults", fault)["number"]
    eventually(lambda: second.get_json("/_emu/faults")["faults"], lambda faults: len(faults) == 1)
    with first.page(first.create_channel("hans")) as page:
        assert second.ask("/_emu/messages", {"client_id": "hans", "message": "lost"})["delivered_to"] == 0
        assert second.request("DELETE", f"/_emu/faults?number={number}").status == 200
        eventually(lambda: first.get_json("/_emu/faults")["faults"], lambda faults: not faults)
        second.ask("/_emu/faults", fault | {"count": 1})
        assert second.ask("/_emu/messages", {"client_id": "hans", "message": "lost"})["delivered_to"] == 0
        # It has happened as often as it was to, at either node.
        assert eventually(lambda: first.send("hans", "there"), bool) == 1
        assert page.receive(LONG_ENOUGH) == "there"


def test_time_moves_at_all_nodes_at_once(nodes):
    first, second = nodes
    page = second.page(first.create_channel("ida", 10)).open()
    before = second.get_json("/_emu/clock")["now"]
    first.advance(601)
    until(lambda: page.closed)
    assert page.error.code == 401
    assert second.get_json("/_emu/clock")["now"] >= before + 600


def test_nodes_and_their_redis_are_told(nodes, shared):
    first, second = nodes
    with first.page(first.create_channel("jan")), second.page(first.create_channel("jan")):

        def told():
            found = second.get_json("/_emu/cluster")
            return found if [node["sockets"]["poll"] >= 1 for node in found["nodes"]] == [True, True] else None

        found = eventually(told, bool)
        assert [(node["name"], node["address"], node["self"]) for node in found["nodes"]] == [
            ("first", first.address, False),
            ("second", second.address, True),
        ]
        assert all(node["heard"] < LONG_ENOUGH for node in found["nodes"])
        assert found["name"] == shared.name
        redis = found["redis"]
        assert redis["url"] == shared.url
        assert redis["version"].startswith(("7", "8"))
        assert redis["memory"] > 0
        assert (redis["epoch"], redis["schema"]) == (1, "1")
        shown = first.get_json("/_emu/channel?client_id=jan")["sockets_shown"]
        assert {socket["node"] for socket in shown} == {"first", "second"}
    assert first.get_json("/_emu/status")["node"] == "first"
    assert 'node="second"' in second.request("GET", "/_emu/metrics").data.decode()
    assert first.get_json("/_emu/health")["status"] == "ready"


def test_a_reset_is_one_of_all_nodes(nodes):
    """Last: what others have is gone, too."""
    first, second = nodes
    page = second.page(first.create_channel("kurt")).open()
    first.reset()
    until(lambda: page.closed)
    assert second.get_json("/_emu/status")["channels"] == 0
    assert (
        eventually(lambda: [event["kind"] for event in second.get_json("/_emu/events")["events"]], bool)[0] == "reset"
    )
