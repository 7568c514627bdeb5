"""Runs the SDK's dev_appserver.py (Python 2.7) so that it writes nothing into the app's folder.

``python2.7 launcher.py FOLDER SDK/dev_appserver.py ARGUMENTS...``

The dev server keeps index.yaml of the app up to date with the queries it has seen. Here it does so in FOLDER, with the
app's own index.yaml to start from. FOLDER lies in the dev server's own temporary one.

Of the environment variable CHANNEL_EMU_RUNTIME, a JSON object that startup.py describes, these are for the launcher;
paths are bytes, one in each character:

yaml:         the app's app.yaml.
read_instead: a file that is read instead, null for none. The app's folder stays the one that has app.yaml.
python25:     whether the app is for the runtime of Python 2.5; it finds that in APPENGINE_RUNTIME.
"""

import errno
import io
import json
import os
import select
import shutil
import signal
import sys
import thread
import time

LOOK_SECONDS = 0.2


def end_when_orphaned(output, folder, supervisor):
    """Kills the process group and removes `folder` once both the emulator and the supervisor are gone.

    While one of them lives it ends the dev server itself; two SIGKILLs leave nobody. The emulator alone reads the other
    end of the pipe `output`; the supervisor is the parent.
    """
    poll = select.poll()
    poll.register(output, 0)  # Errors alone: that nobody reads any more is one.
    while not _polled(poll):
        pass
    while os.getppid() == supervisor:
        time.sleep(LOOK_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _polled(poll):
    """What it has found; nothing if a signal, such as the one that asks the dev server to end, came instead."""
    try:
        return poll.poll()
    except select.error as error:
        if error.args[0] != errno.EINTR:
            raise
        return []


def take_includes_of_any_name(appinfo_includes):
    """YAML gives a name that is not ASCII as text, which does not fit to a folder's, whose name is bytes."""
    resolve = appinfo_includes._ResolvePath

    def resolve_bytes(included_from, path, base):
        return resolve(included_from, path.encode("utf-8") if isinstance(path, unicode) else path, base)

    appinfo_includes._ResolvePath = resolve_bytes


def read_instead(appinfo, appinfo_includes, yaml, made, python25):
    """The file `made` stands in for `yaml`; what it names is still looked for beside `yaml`."""
    parse = appinfo_includes.ParseAndReturnIncludePaths

    def parse_made(opened, open_fn=open):
        if os.path.abspath(opened.name) != yaml:
            return parse(opened, open_fn)
        with open(made) as content:
            stand_in = io.BytesIO(content.read())
        stand_in.name = opened.name
        app, included = parse(stand_in, open_fn)
        if python25:
            runtime = appinfo.EnvironmentVariables(APPENGINE_RUNTIME="python")
            app.env_variables = appinfo.EnvironmentVariables.Merge(app.env_variables, runtime)
        return app, included

    appinfo_includes.ParseAndReturnIncludePaths = parse_made


def main(folder, script):
    thread.start_new_thread(end_when_orphaned, (sys.stdout.fileno(), os.path.dirname(folder), os.getppid()))
    sys.argv[:] = sys.argv[2:]
    sys.path[0] = os.path.dirname(script)
    import dev_appserver

    dev_appserver.fix_sys_path()
    from google.appengine.api import appinfo, appinfo_includes
    from google.appengine.datastore import datastore_stub_index

    def redirected(updater, root_path):
        mine = os.path.join(folder, "index.yaml")
        theirs = os.path.join(root_path, "index.yaml")
        if os.path.isfile(theirs):
            shutil.copyfile(theirs, mine)
        updater.root_path = folder

    datastore_stub_index.IndexYamlUpdater.__init__ = redirected
    take_includes_of_any_name(appinfo_includes)
    runtime_info = json.loads(os.environ["CHANNEL_EMU_RUNTIME"])
    if runtime_info["read_instead"] is not None:
        yaml, made = (runtime_info[name].encode("latin-1") for name in ("yaml", "read_instead"))
        read_instead(appinfo, appinfo_includes, yaml, made, runtime_info["python25"])
    run = {"__name__": "__main__", "__file__": script}
    dev_appserver._run_file(script, run)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
