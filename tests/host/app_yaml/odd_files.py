"""App.yaml files as strangers write them: a table by hand, and combinations of fields and odd values by a seed."""

from __future__ import annotations

import random
from pathlib import Path

BASE = "runtime: python27\napi_version: 1\nthreadsafe: true\n"
CGI = BASE.replace("true", "false")
MAIN = "- url: /.*\n  script: main.app\n"
HANDLERS = f"handlers:\n{MAIN}"

FILES = {
    "main.py": "def app(environ, start_response): pass\n",
    "error.html": "<p>error",
    "late.html": "<p>late",
    "static/a.css": "p {}",
    "inc/include.yaml": "handlers: [{url: /x, script: included.app}]\nenv_variables: {A: include, B: include}\n",
    "inc/tail.yaml": "handlers:\n- {url: /a, script: tail.app, position: tail}\n- {url: /b, script: head.app}\n",
    "inc/deep/include.yaml": "includes: [../tail.yaml]\nhandlers:\n- {url: /deep/.*, script: deep.app}\n",
    "inc/skip.yaml": "skip_files:\n- ^secret\\.txt$\n- ^README\n",
    "inc/env.yaml": "env_variables:\n  A: yes\n  C: 1.10\nincludes:\n- inc/env2.yaml\n",
    "inc/env2.yaml": "env_variables: {A: deepest, D: 0x10}\n",
    "inc/circle.yaml": "includes: [circle2.yaml]\nhandlers: [{url: /x, script: circle.app}]\n",
    "inc/circle2.yaml": "includes: [circle.yaml]\nhandlers: [{url: /a, script: circle2.app}]\n",
    "inc/empty.yaml": "# nothing\n",
    "inc/empty_handlers.yaml": "handlers:\n",
    "inc/manual.yaml": "manual_scaling: {instances: 7}\n",
    "inc/static.yaml": "handlers:\n- {url: /img, static_dir: pictures}\n"
    "- {url: /(.*\\.png)$, static_files: 'p/\\1', upload: p/.*}\n",
    "inc/vm.yaml": "vm: true\n",
    "inc/admin.yaml": "admin_console:\n  pages:\n  - {name: x, url: /x}\n",
    "inc/builtins.yaml": "builtins:\n- deferred: on\nhandlers:\n- {url: /x, script: builtins.app}\n",
    "inc/settings.yaml": "beta_settings: {a: b}\nvm_settings: {c: d}\n",
    "inc/bad.yaml": "handlrs: []\n",
    "inc/runtime.yaml": "runtime: python27\n",
}
"""What stands beside the app.yaml files."""


def _handlers(*handlers: str, base: str = BASE) -> str:
    return base + "handlers:\n" + "".join(f"- {handler}\n" for handler in handlers)


def _url(url: str, more: str = "script: main.app") -> str:
    return f"{BASE}handlers:\n- url: {url}\n  {more}\n{MAIN}"


def _static(more: str, kind: str = "static_dir: static", url: str = "/s") -> str:
    return f"{BASE}handlers:\n- url: {url}\n  {kind}\n  {more}\n{MAIN}"


def _env(*lines: str) -> str:
    return BASE + "env_variables:\n" + "".join(f"  {line}\n" for line in lines) + HANDLERS


def _top(text: str, base: str = BASE) -> str:
    return f"{base}{text}\n{HANDLERS}"


PLAIN_VALUES = (
    "yes", "no", "on", "off", "true", "false", "True", "FALSE", "y", "n", "Y", "N", "yEs", "'yes'", '"no"', "~",
    "null", "NULL", "''", '""', "0", "1", "-1", "+1", "010", "0o10", "08", "0x1F", "0xfg", "0b101", "0b2", "1_000",
    "_1", "1__", "1.10", "1.", ".5", "-.5", "+.5", "1e3", "1E400", "1.5e+3", "1.5e3", "1e-7", "12345678901234567890",
    "0.1234567890123", "1234567890123.5", "100000000000000000000.0", ".inf", "-.inf", ".nan", "12:30:45", "1:2",
    "12:99", "-1:30", "1:30.5", "2014-01-01", "2014-1-1", "2014-13-01", "2014-01-01 10:20:30", "2014-01-01T10:20:30Z",
    "2001-12-14t21:59:43.10-05:00", "2014-01-01 10:20:30.1234567", "=", "a:b", "'#x'", "a #comment", "a#b",
    "http://a/b?c=d", "!!str 123", "!!int '7'", "!!float 3", "!!bool yes", "!!null x", "!!binary aGVsbG8=",
    "!!timestamp 2014-01-01", "|\n   two\n   lines", ">\n   folded\n   text", "|-\n   stripped", '"a\\tb\\u0041"',
    "'it''s'", "[1, 2]", "[]", "plain text", "a\n   b", "%x", "1,2", "$HOME", "'{{x}}'", "---", "-", "-x", "'@x'",
    "1.2.3", "1e", "e1", "0.0", "-0.0", "0e0", "0x", "0b", "+", "--1", "0_7", "0x_f", "1_000.5", "1e1_0", ".e1", "._1",
)  # fmt: skip
"""Values without a field, each of which goes through YAML 1.1 before it is a text."""

URLS_WRITTEN = (
    "/$", "/x$", "/(.*)$", "/(.*\\.(gif|png|jpg))$", "'/x '", "/a|/b", "/(a|b)", "(/.*)?", "(/x|/y)", ".*", "..*", ".",
    "/", "(?i)/foo", "/(?i)foo", "/foo(?i)", "/(?is)foo.*", "/(?u)\\w+", "/(?L)\\w", "'/(?x) foo # comment'",
    "/(foo|\\Foo)", "/\\foo", "/foo\\-bar\\_baz\\/x", "/\\u0066oo", "/\\x66oo", "/\\146oo", "/[\\Fx]", "/[]x]",
    "/[^/]+", "/\\w+", "/\\W", "/\\d+", "/[[:alpha:]]+", "/(?P<name>x)", "/(?:x|y)", "/(?=x)x", "/(?!x).*", "/(?<!x)y",
    "/x{1,2}", "/x{,2}", "/x{", "/{x}", "/(x)(y)?\\1", "/a+?", "/.*?", "/\\.", "/x\\$", "/\\(x\\)", "/a/b/../c", "//x",
    "/x//y", "/é", "/caf\\xe9", "'/x y'", "'/#x'", "/%20", "/x?y=1", "/a&b", "/.*\\.(?:png|css)", "/user/([0-9]+)",
    "/(?#note)x", "/\\Zx", "/\\Ax", "/\\bx", "(/.*", "/[x", "/*", "/(x))", "/x\\", "/(?P<a>x)(?P<a>y)", "/\\9",
    "/(?z)x", "/a**", "^/x", "x", "''", "/(.)*(.)*(x)", "/.{0,3}", "/[a-z]+/[^/]*/?", "/(|x)", "/x|", "/_ah/.*",
    "/form", "/[\\w.-]+", "/[\\d-]x", "/\\0", "/x\\n", "/\\t", "/(?s).*", "/(?m)x", "/x#y", "/\\e", "/\\c", "/(?i)É",
    "/[a-\\d]", "/日本/.*", "/[é]", '"/\\\\w"', "/(x", "/\\Q",
)  # fmt: skip

TEMPLATES = (
    "static/\\1", "\\1", "./static/\\1", "static//\\1", "static/./\\1", "../dist/\\1", "/abs/\\1", "static\\\\\\1",
    "static/x", "x", "./x", "static/\\2", "static/\\g<1>", "static/\\0", "static/\\1.min", "\\1/\\1", "a\\tb", "a\\qb",
    "static/\\10", "é/\\1", "'static/ \\1'", "..", ".", "\\1/..", "static/\\g<name>",
)  # fmt: skip

SCRIPTS = (
    "main.app", "my-pkg.main.app", "main", "main:app", "a.b.c.d", "main.app.", ".main", "main..app", "_ah.x",
    "MAIN.APP", "auto", "\\1.app", "apps.\\1.main.app", "\\g<1>.app", "\\2.app", "main.app ", "'main app'",
    "1main.app", "main.py.app", "$x.app", "1.5", "yes", "!!str 1", "main.\\1", "main.app()", "main.créé",
)  # fmt: skip

CGI_SCRIPTS = (
    "main.py", "sub/main.py", "$PYTHON_LIB/google/appengine/ext/admin", "../x.py", "/x.py", "\\1.py", "a/b",
    "main.app",
)  # fmt: skip

STATIC_MORE = {
    "mime": (
        "mime_type: swf", "mime_type: text/html charset=utf-8", "mime_type: text/html; charset=utf-8",
        "mime_type: 1.5", "mime_type: yes", "mime_type: ''", "mime_type:", "mime_type: 'a/b '",
        "mime_type: application/x-é",
    ),
    "expiration": (
        "expiration: 0", "expiration: 10", "expiration: 1d 2h 3m 4s", "expiration: '1D 2H 3M 4S'", "expiration: 5m 30",
        "expiration: 12:30", "expiration: 1_000", "expiration: '  7d  '", "expiration: 7d7d", "expiration: 1.5h",
        "expiration: 010", "expiration: ''", "expiration:", "expiration: 7d\t1h", "expiration: 365d 365d",
        "expiration: 00d", "expiration: 9999999d", "expiration: never", "expiration: -1", "expiration: 1w",
    ),
    "bools": (
        "require_matching_file: true", "require_matching_file: 'false'", "require_matching_file: 0",
        "require_matching_file:", "require_matching_file: x", "application_readable: yes", "application_readable: ''",
        "application_readable: 1.5",
    ),
    "common": (
        "login: admin", "login: required", "login: Admin", "login:", "secure: always", "secure: never",
        "secure: optional", "secure: default", "secure: true", "auth_fail_action: unauthorized",
        "auth_fail_action: redirect", "redirect_http_response_code: 301", "redirect_http_response_code: '307'",
        "redirect_http_response_code: 308", "redirect_http_response_code: 0301", "position: head", "upload: x",
        "script:", "foo: bar",
    ),
    "headers": (
        "http_headers: {X-A: 1}", "http_headers: {X-A: yes, X-B: 1.10}", "http_headers: {X-A: '*'}", "http_headers:",
        "http_headers: {}", "http_headers: {X-A: }", "http_headers: {x-a: 1, X-A: 2}",
        "http_headers: {Cache-Control: no-cache}", "http_headers: {Content-Type: text/x}",
        "http_headers: {Expires: 2030-01-01}", "http_headers: {Cookie: x, Origin: y}", "http_headers: {Trailer: x}",
        "http_headers: {Vary: 'Accept'}", "http_headers: {Set-Cookie: a=b}", "http_headers: {Date: x}",
        "http_headers: {Connection: close}", "http_headers: {X-Appengine-X: y}", "http_headers: {User-Agent: x}",
        "http_headers: {'X A': y}", "http_headers: {X-A: é}", 'http_headers: {X-A: "a\\nb"}', "http_headers: [a]",
        "http_headers:\n    Link: >\n      </a>;\n      rel=preload",
    ),
}  # fmt: skip
STATIC_MORE["headers"] += tuple(
    f"http_headers: {{{name}: {'x' * length}}}"
    for name, length in (("X-A", 490), ("X-A", 500), ("Content-Security-Policy", 10240))
)

TOP = (
    "default_expiration: 7d", "default_expiration: 1_0", "default_expiration: ''", "default_expiration:",
    "version: 010", "version: 1_000", "version: 2014-01-01", "version: 12:30", "version: 1.0", "version: on",
    "version: ~", "version: 1e3", "version: alpha-001", "version: 20140101t120000", "version: !!str 5",
    "application: my-app", "application: example.com:foo", "application: s~foo-bar", "application: 123",
    "application:", "application: Foo", "application: -a~foo", "project: other", "module: front", "service: front",
    "module: default", "service: 1", "module: A", "api_version: go1", "instance_class: F2", "instance_class: 1",
    "inbound_services: [channel_presence, warmup]", "inbound_services:\n- channel_presence\n- channel_presence",
    "inbound_services:", "inbound_services: []", "inbound_services: channel_presence", "inbound_services: [channel]",
    "inbound_services: [mail, mail_bounce, xmpp_message, xmpp_subscribe, xmpp_presence, xmpp_error, rest]",
    "skip_files: ^x$", "skip_files: []", "skip_files:", "skip_files: ''",
    "skip_files:\n- ^(.*/)?secret\\.txt$\n- ^tests/",
    "skip_files: |\n ^(.*/)?(\n (app\\.yaml)|\n (#.*#)|\n (.*~)\n )$", "skip_files: >\n ^(.*/)?(\n x|y\n )$",
    "skip_files: '(?i)^README'", "skip_files:\n- (?i)^readme\n- \\Main", "skip_files: [1, yes]", "skip_files:\n- (",
    "skip_files: '[x'", "skip_files: {a: b}", "nobuild_files: ^x$", "nobuild_files: []",
    "libraries: [{name: webapp2, version: latest}]",
    "libraries:\n- name: django\n  version: 1.2\n- name: PIL\n  version: 1.1.7",
    "libraries: [{name: django, version: 1.11}]", "libraries: [{name: django, version: 1.10}]",
    "libraries: [{name: webapp2}]", "libraries: [webapp2]", "libraries:",
    "libraries: [{name: nothing, version: latest}]", "builtins:\n- deferred: on\n- remote_api: yes",
    "builtins:\n- appstats: off", "builtins:", "builtins: [{deferred: maybe}]",
    "builtins: [{deferred: true, appstats: true}]", "builtins: [{deferred: 1}]",
    "admin_console:\n  pages:\n  - {name: x, url: /x}", "error_handlers: [{file: error.html}]",
    "error_handlers: [{file: nothing.html}]",
    "error_handlers:\n- {error_code: timeout, file: late.html, mime_type: x}\n- {file: error.html}\n- {file: main.py}",
    "error_handlers: [{error_code: over_quota, file: ./error.html}]",
    "error_handlers: [{error_code: 500, file: error.html}]", "error_handlers: [{error_code: timeout}]",
    "error_handlers:", "error_handlers: [{file: inc/../late.html, mime_type: swf}]",
    "error_handlers: [{error_code: dos_api_denial, file: inc}]", "error_handlers: [{file: /etc/hostname}]",
    "manual_scaling: {instances: 2}", "manual_scaling: {instances: '3'}", "manual_scaling: {instances: 0}",
    "manual_scaling:", "manual_scaling: {instances: 010}", "basic_scaling: {max_instances: 11, idle_timeout: 10m}",
    "automatic_scaling: {max_idle_instances: 1}",
    "automatic_scaling: {min_pending_latency: 30ms, max_idle_instances: automatic}", "auto_id_policy: default",
    "code_lock: true", "derived_file_type: [python_precompiled]", "env: standard", "env: 1", "env: flex", "env: 2",
    "vm: false", "vm: true", "vm: 'false'", "beta_settings: {a: b}", "beta_settings: {a: {b: c}}",
    "resources: {cpu: 1, memory_gb: 0.5}", "network: {name: default}", "network: {forwarded_ports: [80]}",
    "runtime_config: {python_version: 3}", "entrypoint: gunicorn -b :$PORT main:app", "zones: [a]",
    "health_check: {enable_health_check: false}", "liveness_check: {path: /x}", "readiness_check: {path: /x}",
    "main: x", "vpc_access_connector: {name: a/b}", "standard_websocket: true", "runtime_channel: x",
    "source_language: x", "endpoints_api_service: {name: x, config_id: y}",
    "api_config: {url: /api, script: main.app}", "pagespeed: {enabled: true}",
    "backends: [{name: worker, class: B1, options: dynamic}]", "app_engine_apis: true", "service_account: a@b",
    "foo: bar", "build_env_variables: {A: b}", "vm_settings: {vm_runtime: python27}", "vm_health_check: {host: x}",
    "env_flex: true", "env_variables:", "env_variables: {}", "env_variables: []", "env_variables: {A: 1, B: true}",
    "env_variables: {on: 1}", "env_variables: {1A: x}", "env_variables: {A-B: x}", "env_variables: {A: {B: c}}",
    "env_variables: {A: é}", "env_variables: {É: e}", "env_variables: {API_HOST: x, CHANNEL_EMULATOR_HOST: y, A: z}",
    "threadSafe: yes", "includes: []", "includes:", "includes: [inc]", "includes: [inc/]", "includes: [inc/tail.yaml]",
    "includes: [inc/deep]", "includes: [./inc/tail.yaml]", "includes: [inc/skip.yaml]", "includes: [inc/env.yaml]",
    "includes: [inc/env.yaml, inc]", "includes: [inc, inc/env.yaml]", "includes: [inc, inc]",
    "includes: [inc/circle.yaml]", "includes: [inc/empty.yaml]", "includes: [inc/empty_handlers.yaml]",
    "includes: [inc/manual.yaml]", "includes: [inc/static.yaml, inc/tail.yaml, inc]", "includes: [inc/vm.yaml]",
    "includes: [inc/admin.yaml]", "includes: [inc/builtins.yaml]", "includes: [inc/settings.yaml]",
    "includes: [inc/bad.yaml]", "includes: [inc/runtime.yaml]", "includes: [nothing.yaml]", "includes: inc",
    "includes: [inc/skip.yaml]\nskip_files: ^x$", "includes: [inc/env.yaml]\nenv_variables: {A: own, E: own}",
    "includes: [[inc]]", "includes: {a: b}", "includes: [inc/manual.yaml]\nmanual_scaling: {instances: 3}",
    "includes: [static]", "includes: ['']",
)  # fmt: skip

RUNTIMES = (
    "runtime: python27\nthreadsafe: true\n", "runtime: python27\napi_version: 1.0\nthreadsafe: true\n",
    'runtime: "python27"\nthreadsafe: on\n', "runtime: python27\napi_version: '1'\nthreadsafe: True\n",
    "runtime: python27\nthreadsafe: 1\n", "runtime: python27\nthreadsafe: 'true'\n",
    "runtime: python27\nthreadsafe: 'false'\n", "runtime: python27\nthreadsafe: no\n",
    "runtime: python27\nthreadsafe: 0\n", "runtime: python27\nthreadsafe: ''\n",
    "runtime: python27\nthreadsafe: maybe\n", "runtime: python27\nthreadsafe:\n", "runtime: python27\n",
    "runtime: python27\nthreadsafe: [true]\n", "runtime: python27\nthreadsafe: 0.0\n",
    "runtime: python\napi_version: 1\n", "runtime: python\n", "runtime: go\napi_version: go1\n",
    "runtime: go\napi_version: go1.9\n", "runtime: go111\n", "runtime: php55\napi_version: 1\n", "runtime: java\n",
    "runtime: java8\nthreadsafe: true\n", "runtime: nodejs10\n", "runtime: custom\nenv: flex\n",
    "runtime: python\nenv: flex\n", "env: flex\n", "runtime: python27\nvm: true\nthreadsafe: true\n",
    "runtime: python-compat\nvm: true\nthreadsafe: true\n", "runtime: python37\n", "runtime: python3\n",
    "runtime: ruby\nenv: flexible\n", "runtime: vm\nvm_settings: {vm_runtime: python27}\nthreadsafe: true\n",
    "runtime: Python27\nthreadsafe: true\n", "runtime: gs://bucket/x\n", "runtime: python27 \nthreadsafe:  true \n",
    "runtime: 27\n", "runtime:\n", "", "runtime: dart\n", "runtime:\tpython27\nthreadsafe:\ttrue\n",
    "runtime : python27\nthreadsafe : true\n", '"runtime": python27\n\'threadsafe\': true\n',
    "runtime: python27 # x\nthreadsafe: true# y\n", "runtime: python27\nthreadsafe: true\nthreadsafe: true\n",
    "? runtime\n: python27\n? threadsafe\n: true\n", "runtime: >\n  python27\nthreadsafe: true\n",
    "runtime: python27\nthreadsafe: !!bool 'no'\n",
)  # fmt: skip

FLOW = (
    "{url: /(?i)Foo, script: main.app}", "{url: /a?b, script: main.app}", "{url: /a:b, script: main.app}",
    "{url: /a#b, script: main.app}", "{url: /a b, script: main.app}", "{url: /[a-z], script: main.app}",
    "{url: /a{2}, script: main.app}", "{url: /a!b, script: main.app}", "{url: /a|b, script: main.app}",
    '{url: "/a", script: main.app}', '{"url":"/a","script":"main.app"}', "{url: /a,script: main.app}",
    "{url:/a, script: main.app}", "{url: /a$, script: main.app}", "{url: /.*, script: main.app,}",
    "{ url : /a , script : main.app }", "{url: /%, script: main.app}", "{url: /@, script: main.app}",
    "{url: /a*, script: main.app}", "{url: /a&b, script: main.app}", "{url: /\\w+, script: main.app}",
    "{url: '/x', script: main.app} # c", "{url: /x, script: main.app}#c", "{url: /x, # c\n   script: main.app}",
    "{url: /x\n  , script: main.app}", "{? url : /x, script: main.app}", "{url: /x?, script: main.app}",
    "{url: http://x, script: main.app}", "{url: /::, script: main.app}", "{url: /a:, script: main.app}",
    "[url: /x, script: main.app]", "{url: /x, script: }", "{url: /x, script}", "{url: /-, script: -}",
    "{url: '/it''s', script: main.app}", '{"url" : "/x", script: main.app}', '{"url":/x, script: main.app}',
    "{url: /x, script: main.app}}", "{url: /x, script: main.app",
)  # fmt: skip
"""A handler on one line."""

BLOCK = (
    "url: /a: b", "url: /a #b", "url: /a#b", "url: - /a", 'url: "a" b', "url: /a\n   /b", "url: [/a]", "url: %a",
    "url: `a`", "url: @a", "url: /a\n  # c\n", "url: |\n    /a", "url: |2\n    /a", "url: >-\n    /a\n    b",
    'url: "/a\\\n    b"', "url: '/a\n    b'", "url:\n    /a", "url: !!str /a", "url: /a:", "url: ?a", "url: :a",
    "url: /a ?b", '"url": /a', "'url': /a", "? url\n  : /a", "url : /a", "url: /a\t", "url: \t/a", 'url: "/a"\t# x',
    "url: /a\n\n\n", "url: /a: ", 'url: "\\x2fa"', 'url: "/\\u00e9"', 'url: "/\\/a"', 'url: "/\\q"', "url: /\\q",
    'url: /"a"', "url: /'a'", "url: /a,b", "url: /[a, b]", "url: /{a: b}", "url: */a", "url: &/a", "url: !/a",
    "url: --- /a", "url: |+\n    /a\n\n",
)  # fmt: skip
"""The url of a handler."""

FORMS: dict[str, str | bytes] = {
    "byte order mark": "\ufeff" + BASE + HANDLERS,
    "crlf": (BASE + HANDLERS).replace("\n", "\r\n"),
    "cr": (BASE + HANDLERS).replace("\n", "\r"),
    "utf-16": (BASE + HANDLERS).encode("utf-16"),
    "utf-16 big endian": b"\xfe\xff" + (BASE + "# é\n" + HANDLERS).encode("utf-16-be"),
    "utf-32": (BASE + HANDLERS).encode("utf-32"),
    "latin-1 comment": (BASE + "# é\n" + HANDLERS).encode("latin-1"),
    "utf-8 comment": BASE + "# é 世 😀\n" + HANDLERS,
    "nul": BASE + "# \0\n" + HANDLERS,
    "escape in comment": BASE + "# \x1b\n" + HANDLERS,
    "del in comment": BASE + "# \x7f\n" + HANDLERS,
    "next line": BASE + "# a\x85b\n" + HANDLERS,
    "line separator": BASE + "# a\u2028b\n" + HANDLERS,
    "form feed": BASE + "\f\n" + HANDLERS,
    "no-break space": BASE + "handlers:\n-\u00a0url: /.*\n  script: main.app\n",
    "no newline at the end": (BASE + HANDLERS).rstrip(),
    "newlines at the end": BASE + HANDLERS + "\n\n\n",
    "trailing spaces": (BASE + HANDLERS).replace("\n", "  \n"),
    "trailing tabs": (BASE + HANDLERS).replace("\n", "\t\n"),
    "tab before comment": BASE + "\t# x\n" + HANDLERS,
    "tab line": BASE + "\t\n" + HANDLERS,
    "tab indent": BASE + "handlers:\n-\turl: /.*\n\tscript: main.app\n",
    "tab after dash": BASE + "handlers:\n-\turl: /.*\n  script: main.app\n",
    "tab in value": BASE + "handlers:\n- url: /.*\n  script:\tmain.app\n",
    "tab in flow": BASE + "handlers: [\t{url: /.*,\tscript: main.app}\t]\n",
    "deep indent": BASE + "handlers:\n      - url: /.*\n        script: main.app\n",
    "uneven indent": BASE + "handlers:\n- url: /.*\n   script: main.app\n",
    "indented list": BASE + "handlers:\n  - url: /x\n    script: x.app\n  - url: /.*\n    script: main.app\n",
    "document start": "---\n" + BASE + HANDLERS,
    "document start with comment": "# app\n--- # x\n" + BASE + HANDLERS,
    "document end": "---\n" + BASE + HANDLERS + "...\n",
    "end and more comment": BASE + HANDLERS + "...\n# over\n",
    "two documents": BASE + HANDLERS + "---\nruntime: python27\n",
    "empty second document": BASE + HANDLERS + "---\n",
    "empty first document": "---\n---\n" + BASE + HANDLERS,
    "directive": "%YAML 1.1\n---\n" + _env("A: 010", "B: on"),
    "directive 1.2": "%YAML 1.2\n---\n"
    + _env(
        "A: 010",
        "B: on",
        "C: 0o10",
        "D: yes",
        "E: 12:30",
        "F: 0x1F",
        "G: 1:30.5",
        "H: y",
        "I: 1e3",
        "J: 2014-01-01 10:20:30",
        "K: -0b1",
        "L: 1_0",
    ),
    "directive 1.3": "%YAML 1.3\n---\n" + BASE + HANDLERS,
    "directive 2.0": "%YAML 2.0\n---\n" + BASE + HANDLERS,
    "other directive": "%FOO bar\n---\n" + BASE + HANDLERS,
    "tag directive": "%TAG ! tag:x,2014:\n---\n" + BASE + HANDLERS,
    "flow": "{runtime: python27, threadsafe: true, handlers: [{url: /.*, script: main.app}]}\n",
    "json": '{"runtime": "python27", "threadsafe": true, "handlers": [{"url": "/.*", "script": "main.app"}]}',
    "json over lines": '{\n "runtime": "python27",\n "threadsafe": 1,"handlers": [\n {"url": "/", "script": "a.b"}\n]}',
    "commas at the end": "{runtime: python27, threadsafe: true, handlers: [{url: /.*, script: main.app},],}\n",
    "flow url": BASE + "handlers: [{url: /a, script: a.app}, {url: '/[x]', script: b.app}]\n",
    "anchor": BASE + "handlers:\n- &a\n  url: /x\n  script: main.app\n",
    "anchor on a value": BASE + "handlers:\n- url: &u /x\n  script: main.app\n",
    "alias": BASE + "handlers:\n- &a {url: /x, script: main.app}\n- *a\n",
    "merge key": BASE + "handlers:\n- <<: {url: /x}\n  script: main.app\n",
    "duplicate field": BASE + "version: 1\nversion: 2\n" + HANDLERS,
    "duplicate variable": _env("A: 1", "A: 2"),
    "duplicate in handler": _handlers("{url: /x, url: /y, script: main.app}"),
    "tagged mapping": BASE + "env_variables: !!map {A: b}\n" + HANDLERS,
    "tagged list": BASE + "handlers: !!seq\n" + MAIN,
    "tagged document": "--- !x\n" + BASE + HANDLERS,
    "python tag": BASE + "env_variables: {A: !!python/name:os.system x}\n" + HANDLERS,
    "python tag on mapping": BASE + "handlers:\n- !!python/object:x\n  url: /.*\n  script: main.app\n",
    "set tag": BASE + "env_variables: {A: !!set x}\n" + HANDLERS,
    "non-specific tag": _env("A: ! 12"),
    "verbatim tag": _env("A: !<tag:yaml.org,2002:str> 12"),
    "null key": BASE + "~: x\n" + HANDLERS,
    "empty key": BASE + ": x\n" + HANDLERS,
    "list key": BASE + "[a]: x\n" + HANDLERS,
    "list document": "- runtime: python27\n",
    "text document": "runtime python27\n",
    "empty": "",
    "only comments": "# nothing\n",
    "only a marker": "---\n",
    "null document": "~\n",
    "no handlers": BASE,
    "null handlers": BASE + "handlers:\n",
    "empty handlers": BASE + "handlers: []\n",
    "handlers as a mapping": BASE + "handlers: {url: /.*, script: main.app}\n",
    "null handler": BASE + "handlers:\n-\n" + MAIN,
    "text handler": BASE + "handlers: [x]\n",
    "handler without url": _handlers("script: other.app", "{url: /.*, script: main.app}"),
    "static without url": _handlers("static_dir: static"),
    "handler without kind": _handlers("url: /.*"),
    "handler with two kinds": _handlers("{url: /.*, script: main.app, static_dir: static}"),
    "null static_dir beside script": _handlers("{url: /.*, script: main.app, static_dir: }"),
    "null url": _handlers("{url: , script: main.app}", "{url: /.*, script: main.app}"),
    "expiration on a script": _handlers("{url: /.*, script: main.app, expiration: 1d}"),
    "mime type on a script": _handlers("{url: /.*, script: main.app, mime_type: a/b}"),
    "null mime type on a script": _handlers("{url: /.*, script: main.app, mime_type: }"),
    "static_files without upload": _handlers("{url: /x, static_files: x}"),
    "empty upload": _handlers("{url: /x, static_files: x, upload: ''}"),
    "odd upload": _handlers("{url: '/(.*)', static_files: 'static/\\1', upload: 'static'}"),
    "bad upload": _handlers("{url: '/(.*)', static_files: 'static/\\1', upload: '('}"),
    "api endpoint": BASE
    + "api_config: {url: /api, script: a.app}\nhandlers:\n- {url: /x, api_endpoint: on, script: b.app}\n"
    + MAIN,
    "api endpoint without config": _handlers("{url: /x, api_endpoint: on}"),
    "a hundred handlers": _handlers(*(f"{{url: /{n}, script: main.app}}" for n in range(100))),
    "101 handlers": _handlers(*(f"{{url: /{n}, script: main.app}}" for n in range(101))),
    "static_dir with url to its end": _handlers("{url: /s$, static_dir: static}", "{url: /.*, script: main.app}"),
    "static_dir of the root": _handlers("{url: /, static_dir: static}", "{url: /.*, script: main.app}"),
    "static_dir with a group": _handlers("{url: '/(s|x)', static_dir: static}", "{url: /.*, script: main.app}"),
    "static_dir with two slashes": _handlers("{url: /s//, static_dir: static//}", "{url: /.*, script: main.app}"),
    "long value": _env(f'A: "{"x" * 9000}"'),
    "key in pem": _env("KEY: |", "  -----BEGIN-----", "  abc", "  -----END-----"),
    "many variables": _env(*(f"V{n}: {n}" for n in range(300))),
    "every script of python 2.5": _handlers(
        *(f"{{url: /{n}, script: {s}}}" for n, s in enumerate(CGI_SCRIPTS)), base=CGI
    ),
}


def _pieces() -> dict[str, dict[str, str]]:
    """The files that have one odd thing each, by its kind and itself."""
    urls = {url: _url(url) for url in URLS_WRITTEN}
    return {
        "variable": {value: _env(f"A: {value}", "B: end") for value in PLAIN_VALUES},
        "url": urls,
        "static_dir url": {url: _url(url, "static_dir: static") for url in URLS_WRITTEN},
        "static_files": {each: _url("/(.*)", f"static_files: {each}\n  upload: .*") for each in TEMPLATES},
        "static_dir": {each: _url("/s", f"static_dir: {each}") for each in TEMPLATES},
        "script": {each: _url("/([a-z]+)/.*", f"script: {each}") for each in SCRIPTS},
        "cgi": {each: CGI + _url("/([a-z]+)/.*", f"script: {each}")[len(BASE) :] for each in CGI_SCRIPTS},
        "cgi where threadsafe": {each: _url("/([a-z]+)/.*", f"script: {each}") for each in CGI_SCRIPTS},
        "static": {more: _static(more) for each in STATIC_MORE.values() for more in each},
        "script with": {more: _url("/x", f"script: main.app\n  {more}") for more in STATIC_MORE["common"]},
        "top": {top: _top(top) for top in TOP},
        "flow": {each: f"{BASE}handlers:\n- {each}\n" for each in FLOW},
        "block": {each: f"{BASE}handlers:\n- {each}\n  script: main.app\n" for each in BLOCK},
        "runtime": {runtime: runtime + HANDLERS for runtime in RUNTIMES},
    }


def table() -> dict[str, str | bytes]:
    """The files by what is odd in them."""
    files: dict[str, str | bytes] = dict(FORMS)
    for kind, pieces in _pieces().items():
        files |= {_name(kind, piece): text for piece, text in pieces.items()}
    return files


def _name(kind: str, piece: str) -> str:
    # Without line ends and the like, which the names of tests cannot have.
    return f"{kind} {piece.encode('unicode_escape').decode()[:80]}"


class Generator:
    """Files of several odd things each, most of them from files of the table that the SDK takes: the names `taken`."""

    def __init__(self, seed: int, taken: set[str]) -> None:
        self._seed = seed
        self._choose = random.Random(seed)
        self._pieces = {
            kind: (list(pieces), [piece for piece in pieces if _name(kind, piece) in taken])
            for kind, pieces in _pieces().items()
        }

    def files(self, number: int) -> dict[str, str | bytes]:
        """The next `number` files."""
        return {f"generated {self._seed} {index}": self._file() for index in range(number)}

    def _pick(self, kind: str) -> str:
        every, fine = self._pieces[kind]
        return self._choose.choice(fine if self._choose.random() < 0.9 else every)

    def _file(self) -> str:
        choose = self._choose
        cgi = choose.random() < 0.2
        parts = [CGI if cgi else BASE if choose.random() < 0.7 else self._pick("runtime")]
        # The same field twice would only be refused.
        top = {each.split(":")[0]: each for each in (self._pick("top") for _ in range(choose.randrange(4)))}
        parts += [f"{each}\n" for each in top.values()]
        if "env_variables" not in top and (values := [self._pick("variable") for _ in range(choose.randrange(4))]):
            parts.append("env_variables:\n" + "".join(f"  V{n}: {value}\n" for n, value in enumerate(values)))
        parts.append("handlers:\n" + "".join(self._handler(cgi) for _ in range(choose.randrange(1, 5))) + MAIN)
        if choose.random() < 0.3:
            choose.shuffle(parts)
        text = "".join(parts)
        return text.replace("\n", "\r\n") if choose.random() < 0.1 else text

    def _handler(self, cgi: bool) -> str:
        choose = self._choose
        kind = choose.choice(["script", "script", "static_dir", "static_files"])
        url = self._pick("static_dir url" if kind == "static_dir" else "url")
        if choose.random() < 0.2 and url[0] not in "'\"":
            url += self._pick("url").strip("'\"")
        lines = [f"url: {url}"]
        if kind == "script":
            lines.append(f"script: {self._pick('cgi' if cgi and choose.random() < 0.5 else 'script')}")
            more = {self._pick("script with")} if choose.random() < 0.3 else set()
        else:
            lines.append(f"{kind}: {self._pick(kind)}")
            lines += ["upload: .*"] if kind == "static_files" else []
            more = {self._pick("static") for _ in range(choose.randrange(3))}
        fields = {each.split(":")[0]: each for each in sorted(more)}
        return "- " + "\n  ".join([*lines, *fields.values()]) + "\n"


def write(folder: Path, files: dict[str, str | bytes]) -> dict[str, Path]:
    """Write them, and what stands beside them; returns where."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    written = {}
    for number, (name, content) in enumerate(files.items()):
        written[name] = folder / f"odd{number}.yaml"
        written[name].write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return written
