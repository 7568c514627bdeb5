"""Two addresses of one app: visitors know the emulator's, the SDK's services know the dev server's (Python 2.7)."""

# Service, method, and the field of the answer that names an address.
ANSWERS = (("modules", "GetHostname", "hostname"), ("images", "GetUrlBase", "url"))


def install(front, port):
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
        for known, method, field in ANSWERS:
            if (service, call) == (known, method):
                value = getattr(response, field)()
                getattr(response, "set_" + field)(value.replace(mine, front))

    proxy = apiproxy_stub_map.apiproxy
    proxy.GetPreCallHooks().Append("channel_emu", lead_tasks_to_the_dev_server, "taskqueue")
    for service, _, _ in ANSWERS:
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
