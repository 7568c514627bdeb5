"""Runs inside the SDK's runtime process: the channel service, the deadline, and the visitor's own address.

Given to dev_appserver.py as `--python_startup_script`, with its own folder as `--python_startup_args`; the dev server runs it before the sandbox closes (Python 2.7). No file
of the SDK is changed. What it is told comes in the environment variable CHANNEL_EMU_RUNTIME, a JSON object:

address:        `host:port` of the emulator.
secret:         what the emulator's own requests carry, so that nobody else can say where a request came from.
deadline:       seconds a request may take; null for no limit.
task_deadline:  the same for task queues and cron.
grace:          seconds after the deadline for a handler that catches the error.
port:           where the dev server's default module listens.

What it is told besides is for launcher.py.

The process that the dev server started stays as it is and becomes a warden: workers are forked from it, which share
its listening socket. So a worker that overran its deadline, or died, is replaced without the dev server noticing.
"""

import json
import os
import sys
import urllib2

HERE = config.python_config.startup_args  # noqa: F821 - the runtime lends us its configuration
sys.path.insert(0, HERE)
keeps_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
try:
    import app_folder
    import cgi_scripts
    import channel_stub
    import front_address
    import python25
    import request_deadline
    import warden
    from google.appengine.tools.devappserver2.python.runtime import sandbox
finally:
    del sys.path[0]
    sys.dont_write_bytecode = keeps_bytecode

settings = json.loads(os.environ.pop("CHANNEL_EMU_RUNTIME"))
# With this copy of urllib2 the runtime calls the SDK's services, which are on this machine. The app will have another.
urllib2.getproxies = dict
# The sandbox closes while enable_sandbox runs: everything of the standard library that is needed later is imported here.
reporter = warden.fork_worker(int(os.environ["PORT"]))

library = channel_stub.prepare(settings["address"])
_enable_sandbox = sandbox.enable_sandbox


def enable_sandbox(config):
    """The SDK's own, and then ours: importing the runtime's modules any earlier would break it."""
    is_python25 = python25.is_for(config)
    if is_python25:
        python25.prepare(config)
    _enable_sandbox(config)
    app_folder.keep_clean(config.application_root)
    cgi_scripts.install()
    if is_python25:
        python25.install()
    channel_stub.install(library, request_deadline.request_id)
    front_address.install(settings["address"], settings["port"])
    request_deadline.install(settings, reporter)


sandbox.enable_sandbox = enable_sandbox
