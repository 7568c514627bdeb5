"""The services of App Engine that an app can import: what is there of each, with Google's SDK and under Python 3."""

from __future__ import annotations

from dataclasses import dataclass

_PORTED = "with appengine-python-standard"


@dataclass(frozen=True, slots=True)
class SdkService:
    """`modules` are its dotted paths below google.appengine; `python3` says what there is of it without the SDK."""

    name: str
    modules: tuple[str, ...]
    sdk: str
    python3: str

    @property
    def is_in_sdk(self) -> bool:
        return not self.sdk.startswith("no")

    @property
    def is_in_python3(self) -> bool:
        return self.python3.startswith("yes")


_YES = "yes, the dev server's own, on this machine"
_CALLS = f"no: {_PORTED} it can be imported, and each call needs Google's servers (CallNotFoundError)"
_GONE = "no: gone, and no package brings it"

SERVICES = (
    SdkService("channel", ("api.channel",), "yes, the emulator's", "yes, the emulator's"),
    SdkService(
        "users", ("api.users",), "yes, with the dev server's sign-in page", "yes, with the emulator's sign-in page"
    ),
    SdkService("runtime", ("runtime",), "yes", "yes, DeadlineExceededError and the API's errors"),
    SdkService("datastore (db)", ("ext.db", "ext.gql", "api.datastore", "ext.key_range"), _YES, _CALLS),
    SdkService("datastore (ndb)", ("ext.ndb",), _YES, f"no: {_PORTED} models work, and storage needs Google's servers"),
    SdkService("memcache", ("api.memcache",), _YES, f"no: {_PORTED} it is a cache in which nothing is ever found"),
    SdkService("task queues", ("api.taskqueue", "api.labs.taskqueue"), _YES, _CALLS),
    SdkService("deferred", ("ext.deferred",), f"{_YES}; app.yaml needs the builtin deferred", _CALLS),
    SdkService("blobstore", ("api.blobstore", "ext.blobstore", "ext.webapp.blobstore_handlers"), _YES, _CALLS),
    SdkService("cloudstorage", ("ext.cloudstorage",), _YES, _GONE),
    SdkService("files", ("api.files",), _YES, _GONE),
    SdkService("images", ("api.images",), "yes, if its Python 2.7 has PIL", _CALLS),
    SdkService(
        "mail", ("api.mail", "ext.webapp.mail_handlers"), "yes: mail is logged, and sent with -- --smtp_host", _CALLS
    ),
    SdkService("search", ("api.search",), _YES, _CALLS),
    SdkService("urlfetch", ("api.urlfetch",), "yes: it goes out to the network", f"{_CALLS}; requests and urllib work"),
    SdkService("xmpp", ("api.xmpp", "ext.webapp.xmpp_handlers"), "yes: messages are logged, and go nowhere", _CALLS),
    SdkService("logservice", ("api.logservice",), _YES, _CALLS),
    SdkService("modules", ("api.modules", "api.backends", "api.background_thread"), _YES, f"no: {_PORTED} names alone"),
    SdkService("app_identity", ("api.app_identity",), _YES, f"no: {_PORTED} names alone"),
    SdkService("namespace_manager", ("api.namespace_manager",), "yes", f"no: {_PORTED} it works"),
    SdkService("capabilities", ("api.capabilities",), "yes: all is always there", _CALLS),
    SdkService("oauth", ("api.oauth",), _YES, _CALLS),
    SdkService(
        "rdbms", ("api.rdbms", "api.rdbms_mysqldb", "ext.django.backends.rdbms"), "yes, if there is a MySQL", _GONE
    ),
    SdkService("remote sockets", ("api.remote_socket",), _YES, "no: Python's own sockets work"),
    SdkService("webapp", ("ext.webapp",), "yes", "no: webapp2 is on PyPI, and takes its place"),
    SdkService("endpoints", ("ext.endpoints",), "yes", _GONE),
    SdkService("mapreduce", ("ext.mapreduce",), "no: the SDK has dropped it; vendor it", _GONE),
    SdkService("djangoforms", ("ext.db.djangoforms",), "no: the SDK has dropped it", _GONE),
    SdkService("appstats", ("ext.appstats",), "yes", _GONE),
    SdkService("ereporter", ("ext.ereporter",), "yes", _GONE),
    SdkService("remote_api", ("ext.remote_api",), "yes", f"no: {_PORTED} a part of it"),
    SdkService("testbed", ("ext.testbed",), "yes, in tests", f"no: {_PORTED} it works, but for channels"),
    SdkService("vendor", ("ext.vendor",), "yes", "no: pip installs into a virtual environment"),
    SdkService("zipserve", ("ext.zipserve",), "yes", _GONE),
    SdkService("conversion", ("api.conversion",), "no: the SDK has dropped it", _GONE),
    SdkService("prospective search", ("api.prospective_search", "api.matcher"), "no: the SDK has dropped it", _GONE),
    SdkService("logging to the dev console", ("api.app_logging", "api.quota", "api.lib_config"), "yes", _GONE),
)

_BY_MODULE = {module: service for service in SERVICES for module in service.modules}


def service_of(path: str) -> SdkService | None:
    """The service of a dotted path, such as `google.appengine.ext.ndb.Model`; the longest match counts."""
    parts = path.split(".")
    if parts[:2] != ["google", "appengine"]:
        return None
    inner = parts[2:]
    return next(
        (found for length in range(len(inner), 0, -1) if (found := _BY_MODULE.get(".".join(inner[:length])))), None
    )
