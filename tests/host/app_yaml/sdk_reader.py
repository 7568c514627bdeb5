"""Reads app.yaml files as Google's SDK does. Runs under Python 2.7: sdk_reader.py SDK FOLDER, then JSON on stdin.

In: {"paths": [files], "urls": [paths of requests], "names": [names of files]}, below FOLDER. Out: for each file a JSON
line with what it comes to, or the error.
"""

import json
import logging
import os
import re
import sys
import warnings


def text(value):
    """As a header or an environ would have it."""
    return value if value is None or isinstance(value, str) else str(value).decode("latin-1")


def handler_of(url_map, default_expiration, parse_expiration):
    kind = url_map.GetHandlerType()
    expiration = url_map.expiration or default_expiration
    headers = [(text(name), text(value)) for name, value in (url_map.http_headers or {}).items() if value is not None]
    static = kind.startswith("static")
    return {
        "kind": kind,
        "target": text(url_map.GetHandler()) if kind != "api_endpoint" else None,
        "login": url_map.login,
        "auth_fail_action": url_map.auth_fail_action,
        "secure": url_map.secure,
        "mime_type": text(url_map.mime_type),
        "expiration": parse_expiration(expiration) if static and expiration else None,
        "http_headers": sorted(headers),
        "require_matching_file": bool(url_map.require_matching_file),
    }


def pattern_of(url_map):
    """What the dev server's own handlers compile: module.py, static_files_handler.py."""
    url = url_map.url
    # By the sandbox, when an instance starts.
    re.compile(url_map.upload or "")
    if url_map.GetHandlerType() == "static_dir":
        return re.compile("%s(?P<file>.*)$" % (url if url[-1] == "/" else url + "/"))
    return re.compile("%s$" % url)


def route(routes, url):
    """Which handler takes a request, and its script or file; "broken" where the dev server answers 500.

    `routes` are pattern, kind and target of each handler: asking a handler for them takes the SDK long.
    """
    for index, (pattern, kind, template) in enumerate(routes):
        match = pattern.match(url)
        if match is None:
            continue
        if kind == "static_dir":
            rest = match.groupdict().get("file")
            if rest is None:
                return [index, "broken"]
            if os.path.isabs(rest) or "" in rest.split("/"):
                return [index, None]
            return [index, os.path.normpath(os.path.join(template, rest))]
        try:
            target = match.expand(template)
        except Exception:
            return [index, "broken"]
        if kind == "script":
            return [index, target]
        if os.path.isabs(target) or "" in target.split("/"):
            return [index, None]
        return [index, os.path.normpath(target)]
    return None


def read(path, urls, names, configuration, appinfo):
    config = configuration.ModuleConfiguration(path)
    info = config._app_info_external
    handlers = [each for each in config.handlers if each.GetHandlerType() != "api_endpoint"]
    routes = [(pattern_of(each), each.GetHandlerType(), each.GetHandler()) for each in handlers]
    skip = re.compile(str(config.skip_files))
    return {
        "runtime": info.GetEffectiveRuntime() and info.GetEffectiveRuntime().strip(),
        "flexible": bool(info.IsVm() or info.runtime == "vm"),
        "application": text(info.application),
        "version": text(info.version),
        "module": config.module_name,
        "threadsafe": config.threadsafe,
        "handlers": [handler_of(each, config.default_expiration, appinfo.ParseExpiration) for each in handlers],
        "urls": [text(each.url) for each in handlers],
        "routes": [route(routes, url.encode("utf-8")) for url in urls],
        "skipped": [name for name in names if skip.match(name.encode("utf-8"))],
        "env_variables": dict((key, text(value)) for key, value in (config.env_variables or {}).items()),
        "inbound_services": sorted(set(config.inbound_services or [])),
        "libraries": [[library.name, library.version] for library in info.libraries or []],
        "error_handlers": [
            [each.error_code or "default", os.path.join(config.application_root, each.file), text(each.mime_type)]
            for each in config.error_handlers or []
        ],
        "instances": int(info.manual_scaling.instances) if info.manual_scaling else None,
    }


def main():
    sdk, folder = sys.argv[1:]
    sys.path.insert(0, sdk)
    os.chdir(folder)
    import dev_appserver

    sys.path[:0] = dev_appserver._PATHS.script_paths("dev_appserver.py")
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    from google.appengine.api import appinfo, appinfo_includes
    from google.appengine.tools.devappserver2 import application_configuration

    # The SDK's builtins are its own scripts, which are not ours to serve: neither side has them.
    appinfo_includes._ConvertBuiltinsToIncludes = lambda *_: []
    asked = json.load(sys.stdin)
    for path in asked["paths"]:
        try:
            said = read(path, asked["urls"], asked["names"], application_configuration, appinfo)
        except Exception as error:
            said = {"error": "%s: %s" % (type(error).__name__, repr(error)[:300])}
        print(json.dumps(said))


if __name__ == "__main__":
    main()
