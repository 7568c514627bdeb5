"""An entrypoint's command line: which application it starts, in which folder, with what (behaviour.md 8)."""

from __future__ import annotations

import contextlib

import pytest

from appengine_channel_emu.host.app_yaml import read_app_yaml
from appengine_channel_emu.host.app_yaml.entrypoint import read_entrypoint
from appengine_channel_emu.host.app_yaml.shell import BadCommand

MANAGE = """
import os
os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')
"""
FILES = {
    "src/main.py": "",
    "lib/helper.py": "",
    "main.py": "",
    "app.py": "",
    "manage.py": MANAGE,
    "settings.conf.py": "wsgi_app = 'web.wsgi:site'\nchdir = 'src'\nraw_env = ['A=1']\nbind = f':{8 * 1010}'\n",
    "uwsgi.ini": "[uwsgi]\nmodule = web:site\nmaster\nchdir = src\nenv = A=1\n",
    "run.sh": "#!/bin/bash\nset -euo pipefail\n# as deployed\nif [ -f .env ]; then\n  . ./vars.sh\nfi\n"
    'python manage.py migrate\nexec gunicorn \\\n  --bind :$PORT $OPTIONS "$APP"\n',
    "vars.sh": "export APP=main:site\nOPTIONS='--workers 2'\n",
    "start": "#!/usr/bin/env bash\ngunicorn main:app\n",
    "forever.sh": "bash forever.sh\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


# gunicorn, and whatever a shell may do around it
@pytest.mark.parametrize(
    ("command", "target"),
    [
        ("gunicorn main:app", "main:app"),
        ("gunicorn -b :$PORT mysite.wsgi", "mysite.wsgi:application"),
        ("gunicorn main", "main:application"),
        ("gunicorn main:create_app()", "main:create_app()"),
        ("gunicorn \"main:create_app('x', debug=True)\"", "main:create_app('x', debug=True)"),
        ("gunicorn main:create_app('x', 1)", "main:create_app('x', 1)"),
        ("gunicorn 'main:app'", "main:app"),
        ("exec gunicorn --bind \"0.0.0.0:${PORT:-8080}\" --workers 2 --threads=8 -t0 'main:app'", "main:app"),
        ('bash -c "exec gunicorn -b :$PORT main:app"', "main:app"),
        ("bash -c 'exec gunicorn -b :$PORT \"main:create_app()\"'", "main:create_app()"),
        ("/bin/sh -euxo pipefail -c 'gunicorn main:app'", "main:app"),
        ("bash -c 'exec \"$0\" $@' gunicorn -b :80 main:app", "main:app"),
        ("gunicorn $APP", "from.environ:app"),
        ("gunicorn ${MODULE:-main}:app", "main:app"),
        ("MODULE=web; gunicorn $MODULE:app", "web:app"),
        ("gunicorn --workers $(nproc) --threads `nproc` -t $((2*30)) main:app", "main:app"),
        ("gunicorn --preload --reload -DR -w4 --access-logfile - --no-sendfile main:app", "main:app"),
        ("gunicorn --name other:thing --statsd-host localhost:8125 main:app", "main:app"),
        ("gunicorn --a-flag-of-next-year main:app", "main:app"),
        ("gunicorn -k uvicorn.workers.UvicornWorker main:app", "main:app"),
        ("gunicorn my-app:app", "my-app:app"),
        ("gunicorn main.py", "main:application"),
        ("python -m gunicorn -b :$PORT main:app", "main:app"),
        ("python3 -um gunicorn main:app", "main:app"),
        ("python3 -mgunicorn main:app", "main:app"),
        ("/env/bin/python3.12 -W ignore /env/bin/gunicorn main:app", "main:app"),
        ("/env/bin/gunicorn main:app", "main:app"),
        ("gunicorn main:app > /tmp/log 2>&1 &", "main:app"),
        ("python manage.py migrate --noinput && gunicorn mysite.wsgi", "mysite.wsgi:application"),
        ("python setup_database.py; gunicorn main:app", "main:app"),
        ("test -f .env || exit 1\ngunicorn main:app # and that is all", "main:app"),
        ("nice -n 5 timeout 3600 dumb-init -- gunicorn main:app", "main:app"),
        ("poetry run gunicorn main:app", "main:app"),
        ("ddtrace-run gunicorn main:app", "main:app"),
        ("newrelic-admin run-program gunicorn main:app", "main:app"),
        ("./start", "main:app"),
        # other servers
        ("uwsgi --wsgi-file main.py --callable app", "main:app"),
        ("uwsgi --http :$PORT --module main:app --master", "main:app"),
        ("uwsgi --http=:$PORT -w main --callable=app -p 2", "main:app"),
        ("uwsgi --master --http :$PORT --wsgi-file=main.py", "main:application"),
        ("uwsgi --mount /=main:app --manage-script-name", "main:app"),
        ("waitress-serve --call main:create_app", "main:create_app()"),
        ("waitress-serve --listen=*:$PORT main:app", "main:app"),
        ("waitress-serve --port $PORT --no-ipv6 --call 'main:create_app'", "main:create_app()"),
        ("python -m waitress main:app", "main:app"),
        ("uvicorn main:app --host 0.0.0.0 --port $PORT", "main:app"),
        ("uvicorn --reload --factory main:create_app", "main:create_app()"),
        ("hypercorn -b :$PORT wsgi:main:app", "main:app"),
        ("hypercorn main", "main:app"),
        ("daphne -b 0.0.0.0 -p $PORT mysite.asgi", "mysite.asgi:application"),
        ("granian --interface wsgi main:app", "main:app"),
        ("flask --app main run", "main"),
        ("FLASK_APP=main.py flask run --host=0.0.0.0 --port $PORT", "main"),
        ("flask --app 'main:create_app(\"x\")' run", 'main:create_app("x")'),
        ("flask --app main:create_app run", "main:create_app()"),
        ("flask run", "app"),
        ("python main.py", "main"),
        ("python -u ./main.py --port $PORT", "main"),
        ("python -m web.server", "web.server"),
        ("some-new-server --port 80 main:app", "main:app"),
        ("$SERVER main:app", "main:app"),
        ("gunicorn --bind 0.0.0.0 --port $GAE_ENV main:app", "main:app"),
    ],
)
def test_the_application(folder, command, target):
    found = read_entrypoint(command, folder, {"APP": "from.environ:app"})
    assert (found.target, found.folder, found.paths) == (target, folder, ())


@pytest.mark.parametrize(
    ("command", "target", "current", "paths", "environ"),
    [
        ("gunicorn --chdir src main:app", "main:app", "src", ["src"], {}),
        ("gunicorn --chdir=/workspace/src main:app", "main:app", "src", ["src"], {}),
        ("cd src && gunicorn main:app", "main:app", "src", ["src"], {}),
        ("(cd src; gunicorn main:app)", "main:app", "src", ["src"], {}),
        ("gunicorn --pythonpath lib,nowhere,src main:app", "main:app", "", ["lib", "src"], {}),
        ("gunicorn -c settings.conf.py", "web.wsgi:site", "src", ["src"], {"A": "1"}),
        ("gunicorn -c settings.conf.py main:app", "main:app", "src", ["src"], {"A": "1"}),
        ("gunicorn -c file:settings.conf.py -e B=2", "web.wsgi:site", "src", ["src"], {"A": "1", "B": "2"}),
        ("uwsgi --ini uwsgi.ini", "web:site", "src", ["src"], {"A": "1"}),
        ("uwsgi uwsgi.ini --http :$PORT", "web:site", "src", ["src"], {"A": "1"}),
        ("uwsgi --wsgi-file src/main.py --pp lib", "main:application", "", ["src", "lib"], {}),
        ("python src/main.py", "main", "", ["src"], {}),
        ("uvicorn --app-dir src main:app", "main:app", "", ["src"], {}),
        ("hypercorn src/main.py:app", "main:app", "", ["src"], {}),
        ("FOO=bar BAZ='q r' gunicorn main:app", "main:app", "", [], {"FOO": "bar", "BAZ": "q r"}),
        ("env FOO=$PORT gunicorn main:app", "main:app", "", [], {"FOO": "8080"}),
        ("export FOO=bar; UNSEEN=1; exec gunicorn main:app", "main:app", "", [], {"FOO": "bar"}),
        ("SECRET=$(cat secret) gunicorn main:app", "main:app", "", [], {}),
        ("bash run.sh", "main:site", "", [], {"APP": "main:site"}),
        (
            "python manage.py runserver 0.0.0.0:$PORT", "django.core.wsgi:get_wsgi_application()", "", [],
            {"DJANGO_SETTINGS_MODULE": "mysite.settings"},
        ),
    ],
)  # fmt: skip
def test_folders_and_variables(folder, command, target, current, paths, environ):
    found = read_entrypoint(command, folder, {})
    assert (found.target, found.folder, found.environ) == (target, folder / current, environ)
    assert found.paths == tuple(folder / path for path in paths)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("node server.js", "names no WSGI callable, such as main:app"),
        ("npm run start:prod", "with channel-emu serve --upstream in front"),
        ("java -jar app.jar", "names no WSGI callable"),
        ("python -c 'import main'", "names no WSGI callable"),
        ("''", "names no WSGI callable"),
        ("python -m", "names '' as the application"),
        ("gunicorn", "gives gunicorn no application"),
        ("gunicorn --paste production.ini", "name its WSGI callable instead"),
        ("uwsgi --http :$PORT", "gives uwsgi no application: --module main:app, or"),
        ("waitress-serve --port=80", "gives waitress-serve no application"),
        ("uvicorn --port 80", "gives its server no application"),
        ("cd lib && flask run", "there is neither FLASK_APP nor a file wsgi.py or app.py"),
        ("gunicorn 'main:app", "has a quote that is not closed"),
        ("gunicorn main:create_app(", "has a '(' that is not closed"),
        ("gunicorn $(cat app.txt)", "which is not run here: write it out"),
        ("gunicorn 'main:create_app(os.environ)'", "whose arguments are plain values"),
        ("gunicorn main:app:more", "neither a callable's name nor"),
        ("gunicorn --chdir nowhere main:app", "runs the app in a folder that is not here"),
        ("cd $HOME_OF_NOBODY/nowhere && gunicorn main:app", "runs the app in a folder that is not here"),
        ("cd lib && python manage.py runserver", "which names no DJANGO_SETTINGS_MODULE"),
        ("bash forever.sh", "more than 5 shells and scripts"),
    ],
)
def test_what_starts_nothing_that_can_be_served(folder, command, said):
    with pytest.raises(BadCommand, match=said.replace("(", r"\(")):
        read_entrypoint(command, folder, {})


def test_the_port_is_always_a_word(folder):
    assert read_entrypoint("uvicorn --port $PORT main:app", folder, {"PORT": ""}).target == "main:app"


@pytest.mark.parametrize("command", ["gunicorn --chdir {} main:app", "bash {}", "./{}/x main:app", "uwsgi --ini {}"])
def test_a_name_that_is_too_long_is_no_file(folder, command):
    with contextlib.suppress(BadCommand):
        read_entrypoint(command.format("x" * 5000), folder, {})


def test_what_was_read_for_it_is_watched_with_app_yaml(folder):
    path = folder / "app.yaml"
    path.write_text("runtime: python312\nentrypoint: bash run.sh\n")
    files = [file.name for file in read_app_yaml(path).files]
    assert files[0] == "app.yaml"
    assert {"run.sh", "vars.sh"} <= set(files)


def test_variables_of_app_yaml_are_those_of_the_shell_and_a_refusal_has_a_line(folder):
    path = folder / "app.yaml"
    path.write_text("runtime: python312\nenv_variables: {WHERE: 'web:site'}\nentrypoint: gunicorn $WHERE\n")
    entrypoint = read_app_yaml(path).entrypoint
    assert entrypoint is not None
    assert entrypoint.target == "web:site"
    # A runtime that has no entrypoints took any.
    path.write_text("runtime: python27\nthreadsafe: true\nentrypoint: gunicorn\n")
    assert read_app_yaml(path).warnings == (
        "app.yaml, line 3: entrypoint gives gunicorn no application, such as main:app",
    )
    path.write_text("runtime: python312\nentrypoint: gunicorn\n")
    with pytest.raises(ValueError, match=r"app\.yaml, line 2: entrypoint gives gunicorn no application"):
        read_app_yaml(path)
