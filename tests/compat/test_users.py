"""`google.appengine.api.users` where no SDK has it, in every Python here: the same script, read by each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import parts

COMPAT = Path(__file__).parents[2] / "appengine_channel_emu" / "compat" / "path"

SCRIPT = """
from google.appengine.api import users
import json, pickle
user = users.get_current_user()
url = users.create_login_url
def raised(call, *args, **fields):
    try:
        call(*args, **fields)
    except users.Error as error:
        return type(error).__name__
print(json.dumps({
    "user": [user.email(), user.nickname(), user.user_id(), user.auth_domain(), str(user), repr(user)],
    "admin": users.is_current_user_admin(),
    "same": user == users.User("ann@gmail.com"), "other": user != users.User("bob@gmail.com"),
    "sorted": [each.email() for each in sorted([users.User("b@x.y"), users.User("a@x.y")])],
    "pickled": pickle.loads(pickle.dumps(user)) == user,
    "foreign": users.User("bob@example.com").nickname(),
    "login": [url(), url("/next?a=b&c"), url("next"), url("http://localhost:8080/there?x#y"), url(u"/\\u00e9")],
    "elsewhere": url("http://example.com/"),
    "logout": users.create_logout_url("/"),
    "raised": [raised(users.create_logout_url, "/" * 3000), raised(url, "/", federated_identity="x")],
}))
"""

VISIT = {
    "USER_EMAIL": "ann@gmail.com",
    "USER_ID": "123",
    "USER_IS_ADMIN": "1",
    "AUTH_DOMAIN": "gmail.com",
    "PATH_INFO": "/a b/c",
    "QUERY_STRING": "q=1",
    "HTTP_HOST": "localhost:8080",
    "HTTPS": "off",
}


def run(python, script, **environ):
    environ = {"PYTHONPATH": str(COMPAT), "PATH": os.environ["PATH"], **environ}
    done = subprocess.run([str(python), "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(params=["2.7", "3"])
def python(request):
    return parts.need(parts.python27) if request.param == "2.7" else sys.executable


def test_a_visitor_who_is_signed_in(python):
    said = run(python, SCRIPT, **VISIT)
    assert said["user"] == [
        "ann@gmail.com", "ann", "123", "gmail.com", "ann", f"users.User(email={'ann@gmail.com'!r},_user_id='123')",
    ]  # fmt: skip
    assert said["admin"]
    assert said["same"]
    assert said["other"]
    assert said["pickled"]
    assert said["sorted"] == ["a@x.y", "b@x.y"]
    assert said["foreign"] == "bob@example.com"
    assert said["login"] == [
        "/_ah/login?continue=%2Fa%2520b%2Fc%3Fq%3D1",
        "/_ah/login?continue=%2Fnext%3Fa%3Db%26c",
        "/_ah/login?continue=%2Fa%2520b%2Fnext",
        "/_ah/login?continue=%2Fthere%3Fx%23y",
        "/_ah/login?continue=%2F%C3%A9",
    ]
    assert said["elsewhere"] == "/_ah/login?continue=http%3A%2F%2Fexample.com%2F"
    assert said["logout"] == "/_ah/logout?continue=%2F"
    assert said["raised"] == ["RedirectTooLongError", "NotAllowedError"]


def test_nobody_is_signed_in(python):
    script = (
        "import json; from google.appengine.api import users;"
        "print(json.dumps([users.get_current_user(), users.is_current_user_admin()]))"
    )
    assert run(python, script, USER_EMAIL="", USER_IS_ADMIN="0") == [None, False]


REQUESTS = """
import json, os, subprocess, sys, threading
import channel_emu_shim as shim
environ = os.environ
said = {}
def request(name):
    shim.begin_request({"USER_EMAIL": name, "HTTP_PROXY": "http://evil", "wsgi.input": object(), "A": "over",
                        "ZERO": "a\\0b"})
    barrier.wait()
    said[name] = [os.environ["USER_EMAIL"], environ.get("USER_EMAIL"), os.getenv("USER_EMAIL"), "USER_EMAIL" in environ,
        dict(environ)["USER_EMAIL"], environ.get("HTTP_PROXY"), environ["A"], len(environ) == len(list(environ)),
        subprocess.check_output([sys.executable, "-c", "import os; print(os.environ.get('USER_EMAIL'))"]).decode(),
        environ.get("ZERO"), "wsgi.input" in environ]
barrier = threading.Barrier(2)
threads = [threading.Thread(target=request, args=(name,)) for name in ("ann", "bob")]
for thread in threads: thread.start()
for thread in threads: thread.join()
said["outside"] = [environ.get("USER_EMAIL"), environ["A"]]
shim.begin_request({"A": "over"})
os.environ["A"] = "written"
said["written"] = os.environ["A"]
del os.environ["A"]
said["deleted"] = "A" in os.environ
print(json.dumps(said))
"""


def test_each_request_has_an_environment_of_its_own():
    said = run(sys.executable, REQUESTS, A="under")
    for name in ("ann", "bob"):
        assert said[name] == [name, name, name, True, name, None, "over", True, "None\n", None, False]
    assert said["outside"] == [None, "under"]
    assert said["written"] == "written"
    assert said["deleted"] is False
