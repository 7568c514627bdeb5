"""The rules of behaviour.md 11, each from the side of the page or host that tries to get round it."""

from __future__ import annotations

import pytest
import urllib3
from waitress.proxy_headers import proxy_headers_middleware
from webtest import TestApp

from appengine_channel_emu.host.visitors import SERVER_HINTS, ServerHints
from appengine_channel_emu.server.acceptor import proxy_options
from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web.guard import PRESENCE_PATHS, WebOptions, leads_to
from tests.support.backend import PlayedBackend
from tests.support.service import running_service
from tests.support.targets import ODD, disguised
from tests.support.visitor import OURS, THEIRS, EchoApp, status, visitor

PROTECTED = ["/_emu/health", "/rpc_http", "/_ah/remote_api", "/_ah/channel/receive", "/_ah/channel/connected/"]


@pytest.fixture
def app():
    return EchoApp()


class TestHost:
    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "localhost:8080",
            "LOCALHOST",
            "localhost.",
            "app.localhost:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:8080",
            "192.168.1.7:8080",
        ],
    )
    def test_names_of_this_machine_are_served(self, app, host):
        assert status(visitor(app, HTTP_HOST=host), "/") == 200

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "evillocalhost",
            "localhost, evil.example",
            "localhost@evil.example",
            "",
            "127.0.0.1.evil.example",
            "[::1",
            "localhost:80:80",
            "local\u00e9host",
        ],
    )
    @pytest.mark.parametrize("path", ["/", "/_ah/channel/jsapi", "/_emu/health"])
    def test_a_name_that_only_leads_here_is_refused(self, app, host, path):
        answer = visitor(app, HTTP_HOST=host).get(path, expect_errors=True)
        assert answer.status_int == 421
        assert "--allow-host" in answer.text
        assert app.requests == []

    def test_the_user_can_allow_a_name(self, app):
        options = WebOptions(hosts=frozenset({"dev.example"}))
        assert status(visitor(app, options, HTTP_HOST="dev.example:8080"), "/") == 200
        assert status(visitor(app, options, HTTP_HOST="x.dev.example"), "/") == 421

    def test_http_1_1_needs_a_host(self, app):
        emulator = Emulator(app)
        seen = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1"}
        list(emulator(environ, lambda status, headers, exc_info=None: seen.append(status)))
        assert seen == ["400 Bad Request"]


class TestPeer:
    @pytest.mark.parametrize(
        "path",
        ["/_emu/health", "/_emu/x", "/rpc_http", "/_ah/remote_api", "/_ah/remote_api/x", "/x/../_emu/health", "/_emu"],
    )
    def test_other_machines_cannot_administer(self, app, path):
        assert status(visitor(app, REMOTE_ADDR="192.168.1.9"), path) == 403
        assert app.requests == []

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
    def test_this_machine_can(self, app, address):
        assert status(visitor(app, REMOTE_ADDR=address), "/_emu/health") == 200

    def test_other_machines_may_use_the_app_and_its_channels(self, app):
        client = visitor(app, REMOTE_ADDR="192.168.1.9")
        assert status(client, "/") == 200
        assert status(client, "/_ah/channel/jsapi") == 200

    @pytest.mark.parametrize("proxy", ["*", "192.168.1.9"])
    @pytest.mark.parametrize("said", ["127.0.0.1", "::1", "10.0.0.1, 127.0.0.1"])
    def test_a_proxy_on_another_machine_makes_nobody_local(self, app, proxy, said):
        options = proxy_options(proxy)
        options["clear_untrusted"] = options.pop("clear_untrusted_proxy_headers")
        server = proxy_headers_middleware(Emulator(app), **options)
        environ = {"REMOTE_ADDR": "192.168.1.9", "HTTP_HOST": "localhost", "HTTP_X_FORWARDED_FOR": said}
        environ[SERVER_HINTS] = ServerHints(peer="192.168.1.9")
        client = TestApp(server, extra_environ=environ, lint=False)
        assert status(client, "/_emu/health") == 403
        assert status(client, "/") == 200
        assert app.requests[0]["REMOTE_ADDR"] == said.rpartition(" ")[2]

    def test_a_server_with_a_trusted_proxy_keeps_the_peer(self):
        seen = []

        class App(PlayedBackend):
            def serve(self, environ, request_id):
                seen.append((environ["REMOTE_ADDR"], environ[SERVER_HINTS].peer))
                return super().serve(environ, request_id)

        with running_service(trusted_proxy="*") as service:
            service.front._backend = App()
            headers = {"X-Forwarded-For": "192.168.1.9"}
            urllib3.request("GET", service.url, headers=headers, retries=False)
            assert seen == [("192.168.1.9", "127.0.0.1")]
            for said, expected in (("127.0.0.1", 200), ("192.168.1.9", 403)):
                headers = {"X-Forwarded-For": said}
                answer = urllib3.request("GET", f"{service.url}/_emu/health", headers=headers, retries=False)
                assert answer.status == expected

    def test_a_peer_of_no_address_is_not_this_machine(self, app):
        client = visitor(app, REMOTE_ADDR="127.0.0.1", **{SERVER_HINTS: ServerHints(peer="")})
        assert status(client, "/_emu/health") == 403

    def test_the_user_can_allow_it(self, app):
        options = WebOptions(allow_remote_admin=True)
        assert status(visitor(app, options, REMOTE_ADDR="192.168.1.9"), "/_emu/health") == 200


class TestSite:
    @pytest.mark.parametrize("path", PROTECTED)
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": THEIRS},
            {"Origin": "null"},
            {"Origin": "http://localhost:81"},
            {"Origin": "https://localhost"},
            {"Origin": "http://localhost.evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": OURS, "Sec-Fetch-Site": "cross-site"},
        ],
    )
    def test_a_page_of_another_site_is_refused(self, app, path, headers):
        options = WebOptions(presence_from_visitors=True)
        assert status(visitor(app, options), path, "POST", **headers) == 403
        assert app.requests == []

    @pytest.mark.parametrize(
        "headers", [{"Origin": OURS, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}]
    )
    def test_our_own_pages_and_programs_are_served(self, app, headers):
        assert status(visitor(app), "/_emu/health", **headers) == 200
        assert status(visitor(app), "/_ah/channel/receive", "POST", **headers) == 200

    def test_the_app_decides_about_its_own_paths(self, app):
        assert status(visitor(app), "/callback", "POST", Origin=THEIRS) == 200

    def test_the_user_can_open_receive_to_an_origin(self, app):
        options = WebOptions(receive_origins=frozenset({THEIRS}))
        assert status(visitor(app, options), "/_ah/channel/receive", "POST", Origin=THEIRS) == 200
        assert status(visitor(app, options), "/_emu/health", Origin=THEIRS) == 403
        assert status(visitor(app, options), "/_ah/channel/receive", "POST", Origin="https://other.example") == 403


class TestContentTypes:
    @pytest.mark.parametrize("path", ["/_emu/channels", "/_emu/messages"])
    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
    )
    def test_what_another_site_can_send_unasked_is_refused(self, app, path, content_type):
        answer = visitor(app).post(
            path, b'{"client_id": "x", "message": "m"}', headers={"Content-Type": content_type}, expect_errors=True
        )
        assert answer.status_int == 415

    def test_no_preflight_of_the_admin_api_succeeds(self, app):
        answer = visitor(app).options(
            "/_emu/messages",
            headers={"Origin": THEIRS, "Access-Control-Request-Method": "POST"},
            expect_errors=True,
        )
        assert answer.status_int == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


class TestHeaders:
    def test_channels_answer_any_origin_without_credentials(self, app):
        client = visitor(app)
        token = client.post_json("/_emu/channels", {"client_id": "x"}).json["token"]
        for path in (
            "jsapi",
            f"open?channel={token}",
            "open?channel=x",
            "poll?socket=x&after=0",
            "xpc_blank",
            "dev?command=poll&channel=x",
            "dev",
        ):
            answer = client.get(f"/_ah/channel/{path}", headers={"Origin": THEIRS}, expect_errors=True)
            assert answer.headers["Access-Control-Allow-Origin"] == "*", path
            assert "Access-Control-Allow-Credentials" not in answer.headers, path
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path

    def test_the_admin_api_answers_no_origin_and_cannot_be_framed(self, app):
        answer = visitor(app).get("/_emu/health", headers={"Origin": OURS})
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize(
        "name", ["X-AppEngine-Fake-Is-Admin", "X-Appengine-User-Ip", "X-Google-Internal-Skipadmincheck"]
    )
    def test_reserved_headers_of_visitors_never_reach_the_app(self, app, name):
        client = visitor(app)
        client.get("/", headers={name: "1", "X-Other": "kept"})
        (seen,) = app.requests
        assert "HTTP_" + name.upper().replace("-", "_") not in seen
        assert seen["HTTP_X_OTHER"] == "kept"

    def test_unless_the_user_trusts_them(self, app):
        visitor(app, WebOptions(trust_appengine_headers=True)).get("/", headers={"X-AppEngine-Country": "NZ"})
        assert app.requests[0]["HTTP_X_APPENGINE_COUNTRY"] == "NZ"


class TestPresencePaths:
    @pytest.mark.parametrize("word", ["connected", "disconnected"])
    @pytest.mark.parametrize(
        "form",
        [
            "/_ah/channel/{}/",
            "/_ah/channel/{}",
            "/x/../_ah/channel/{}/",
            "/_ah//channel/{}/",
            "/_ah/./channel/{}/",
            "//_ah/channel/{}/",
            "/_ah/channel/x/../{}/",
            "/_ah/channel/{}//",
            "/_ah/channel/{}/.",
            "/_ah/channel/{};jsessionid=1/",
            "/_ah;a=b/channel;/{}/;x",
            "/x;/..;/_ah/channel/{}",
            "/_ah\\channel\\{}\\",
        ],
    )
    @pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
    def test_visitors_cannot_tell_the_app_who_is_here(self, app, word, form, method):
        seen = []
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": form.format(word),
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "SERVER_PROTOCOL": "HTTP/1.1",
        }
        body = b"".join(Emulator(app)(environ, lambda status, headers, exc_info=None: seen.append(status)))
        assert seen == ["403 Forbidden"]
        assert b"--presence-from-visitors" in body
        assert app.requests == []

    @pytest.mark.parametrize("target", disguised(200))
    def test_in_no_disguise(self, app, target):
        seen = []
        environ = {
            "REQUEST_METHOD": "POST",
            "REQUEST_URI": target,
            "PATH_INFO": "/somewhere",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "HTTP_ORIGIN": THEIRS,
            "SERVER_PROTOCOL": "HTTP/1.1",
        }
        list(Emulator(app)(environ, lambda status, headers, exc_info=None: seen.append(status)))
        assert seen == ["403 Forbidden"]
        assert app.requests == []

    @pytest.mark.parametrize("target", ODD)
    def test_and_nothing_else_is_taken_for_them(self, target):
        assert leads_to(target.partition("?")[0]) == frozenset()

    def test_what_could_be_read_in_too_many_ways_is_refused_and_takes_no_time_to_tell(self):
        monster = "//a;b/%25%32%65\\x%3fy%2523z%00/" * 2000
        assert leads_to(monster) == frozenset()
        assert leads_to(f"{monster}connected") == PRESENCE_PATHS

    def test_unless_the_user_lets_them(self, app):
        options = WebOptions(presence_from_visitors=True)
        assert status(visitor(app, options), "/_ah/channel/connected/", "POST") == 200

    def test_the_emulator_itself_can(self, app):
        Emulator(app).client("bob").open()
        (seen,) = app.requests
        assert (seen["PATH_INFO"], seen["REMOTE_ADDR"]) == ("/_ah/channel/connected/", "0.1.0.10")
