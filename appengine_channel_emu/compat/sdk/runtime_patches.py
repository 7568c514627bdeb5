"""What the SDK's runtime does differently here, beside channels and deadlines (Python 2.7). Three things:

- It writes no compiled files into the app's folder (`keep_folder_clean`).
- CGI scripts may answer with what templates give them (`take_text_of_cgi_scripts`): text, and subclasses of it. A page
  that Django has rendered is of a type of its own, or Unicode. `wsgiref` refuses the one in the middle of an answer that
  has begun, and `print` the other as soon as a letter is not ASCII. And they may call `reload(sys)`, which gave them
  `sys.setdefaultencoding` back, without losing the answer of the request that they are first run for.
- One app has two addresses: visitors know the emulator's, the SDK's services know the dev server's
  (`translate_addresses`, `lead_to_front`).
"""

import __builtin__
import cStringIO
import os
import sys

import google

# The sandbox's own is slow, and asked for every import.
_stat = os.stat

# Service, method, and the field of the answer that names an address.
WITH_ADDRESS = (("modules", "GetHostname", "hostname"), ("images", "GetUrlBase", "url"))


class CompiledAtHome(object):
    """Asked first about every import; says nothing, but decides whether the interpreter may write a .pyc file.

    The SDK's own modules and Python's keep theirs: without them every start would compile the libraries that the app
    uses. Nothing else does, by whatever path the app finds it: a vendored folder, a link, a relative entry of sys.path.
    """

    def __init__(self, root):
        sdk = os.path.dirname(os.path.dirname(google.__file__))
        homes = (os.path.join(sdk, "google"), os.path.join(sdk, "lib"), os.path.dirname(os.__file__))
        self._homes = tuple(os.path.join(os.path.abspath(home), "") for home in homes)
        self._root = os.path.join(root, "")
        self._never = sys.dont_write_bytecode

    def find_module(self, name, path=None):
        last = name.rpartition(".")[2]
        places = [os.path.join(_as_bytes(folder), last) for folder in (sys.path if path is None else path)]
        self.decide(next((place for place in places if _is_module(place)), None))

    def decide(self, place):
        """`place` is where the module is, None where that is not known."""
        home = place is not None and place.startswith(self._homes) and not place.startswith(self._root)
        sys.dont_write_bytecode = self._never or not home


def keep_folder_clean(root):
    """Called when the sandbox is closed, before the first module of the app is imported."""
    compiled = CompiledAtHome(root)
    sys.meta_path.insert(0, compiled)
    # The app's `imp`, which is not the SDK's. These two look for nothing, and so are not preceded by a question.
    import imp

    for name, at in (("load_source", 1), ("load_module", 2)):
        setattr(imp, name, _deciding(compiled, getattr(imp, name), at))


def _deciding(compiled, load, at):
    def load_after_decision(*arguments):
        compiled.decide(_as_bytes(arguments[at]) if len(arguments) > at else None)
        return load(*arguments)

    return load_after_decision


def _as_bytes(path):
    if isinstance(path, unicode):
        return path.encode(sys.getfilesystemencoding() or "utf-8", "replace")
    return str(path)


def _is_module(place):
    return _exists(place + ".py") or _exists(os.path.join(place, "__init__.py"))


def _exists(path):
    try:
        _stat(path)
    except (EnvironmentError, TypeError):
        return False
    return True


class ScriptOutput(object):
    """What a script prints to."""

    def __init__(self):
        self._bytes = cStringIO.StringIO()
        self.softspace = 0
        """Whether `print` owes a space."""

    def write(self, data):
        self._bytes.write(plain(data))

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def __getattr__(self, name):
        return getattr(self._bytes, name)


class _ScriptOutputs(object):
    """Instead of the module that the runtime makes its answers with."""

    StringIO = ScriptOutput


def plain(data):
    """The bytes of `data`, text as UTF-8, of the very type `str`; whatever is neither, as it is."""
    if isinstance(data, unicode):
        data = data.encode("utf-8")
    return "".join((data,)) if isinstance(data, str) else data


def _keeping_streams(reload_module):
    """`reload`, but for `sys` it leaves the streams as they are: the new ones would be the process's."""

    def reload_and_keep(module):
        streams = sys.stdin, sys.stdout, sys.stderr
        try:
            return reload_module(module)
        finally:
            if module is sys:
                sys.stdin, sys.stdout, sys.stderr = streams

    return reload_and_keep


def take_text_of_cgi_scripts():
    """Called when the sandbox is closed."""
    from wsgiref import handlers

    from google.appengine.runtime import cgi

    cgi.cStringIO = _ScriptOutputs
    __builtin__.reload = _keeping_streams(reload)
    write = handlers.BaseHandler.write
    handlers.BaseHandler.write = lambda handler, data: write(handler, plain(data))
    # Or every request would be given what the first one had and it has not, cookies included.
    handlers.BaseHandler.os_environ = {}


def translate_addresses(front, port):
    """Translate in calls of the SDK's services. `front` is the emulator's `host:port`, `port` the dev server's."""
    from google.appengine.api import apiproxy_stub_map

    mine = "127.0.0.1:%d" % port
    front_port = front.rpartition(":")[2]

    def lead_tasks_to_the_dev_server(service, call, request, response):
        """A task goes to the host that its maker was asked at, which the dev server must know as its own."""
        if call not in ("Add", "BulkAdd"):
            return
        for task in request.add_request_list() if call == "BulkAdd" else [request]:
            for header in task.header_list():
                if header.key().lower() == "host":
                    header.set_value(_translated_host(header.value(), front_port, mine))

    def name_the_front(service, call, request, response):
        for known, method, field in WITH_ADDRESS:
            if (service, call) == (known, method):
                value = getattr(response, field)()
                getattr(response, "set_" + field)(value.replace(mine, front))

    proxy = apiproxy_stub_map.apiproxy
    proxy.GetPreCallHooks().Append("channel_emu", lead_tasks_to_the_dev_server, "taskqueue")
    for service, _, _ in WITH_ADDRESS:
        proxy.GetPostCallHooks().Append("channel_emu_" + service, name_the_front, service)


def _translated_host(host, front_port, mine):
    """`localhost:8080` is the dev server's own address, `worker.localhost:8080` that of its module `worker`."""
    name, _, port = host.rpartition(":")
    if port != front_port:
        return host
    if name.startswith("[") or name.replace(".", "").isdigit() or "." not in name:
        return mine
    return "%s.%s" % (name.rpartition(".")[0], mine) if name.endswith(".localhost") else mine


def lead_to_front(front, port, environ):
    """A request of the dev server's own (task queue, cron): the app shall name no port but the front's."""
    if environ.get("HTTP_HOST", "") == "127.0.0.1:%d" % port:
        environ["HTTP_HOST"] = front
        environ["HTTP_X_APPENGINE_SERVER_NAME"], _, front_port = front.rpartition(":")
        environ["HTTP_X_APPENGINE_SERVER_PORT"] = front_port
        environ["HTTP_X_APPENGINE_DEFAULT_VERSION_HOSTNAME"] = front
