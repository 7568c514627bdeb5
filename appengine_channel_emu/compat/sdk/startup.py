"""Runs inside the SDK's runtime process: the channel service, the deadline, and the visitor's own address.

Given to dev_appserver.py as `--python_startup_script`, with its own folder as `--python_startup_args`; the dev server
runs it before the sandbox closes (Python 2.7). No file of the SDK is changed. The environment variable
CHANNEL_EMU_RUNTIME tells it, as a JSON object:

address:        `host:port` of the emulator.
secret:         what the emulator's own requests carry, so that nobody else can say where a request came from.
deadline:       seconds a request may take; null for no limit.
task_deadline:  the same for task queues and cron.
grace:          seconds after the deadline for a handler that catches the error.
port:           where the dev server's default module listens.

All else in it is for launcher.py.

The process that the dev server started stays as it is and becomes the parent of workers: they are forked from it, and
share its listening socket. So a worker that overran its deadline, or died, is replaced without the dev server noticing.
"""

import json
import os
import sys
import urllib2

HERE = config.python_config.startup_args  # noqa: F821 - the runtime lends us its configuration
sys.path.insert(0, HERE)
keeps_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
try:
    import channel_stub
    import python25
    import request_deadline
    import runtime_patches
    import worker_parent
    from google.appengine.tools.devappserver2.python.runtime import sandbox
finally:
    del sys.path[0]
    sys.dont_write_bytecode = keeps_bytecode

runtime_info = json.loads(os.environ.pop("CHANNEL_EMU_RUNTIME"))
# With this copy of urllib2 the runtime calls the SDK's services, which are on this machine. The app will have another.
urllib2.getproxies = dict
# The sandbox closes while enable_sandbox runs: everything of the standard library that is needed later is imported here.
reporter = worker_parent.fork_worker(int(os.environ["PORT"]))

library = channel_stub.prepare(runtime_info["address"])
_enable_sandbox = sandbox.enable_sandbox


def enable_sandbox(config):
    """The SDK's own, and then ours: importing the runtime's modules any earlier would break it."""
    is_python25 = python25.is_for(config)
    if is_python25:
        python25.prepare(config)
    _enable_sandbox(config)
    runtime_patches.keep_folder_clean(config.application_root)
    runtime_patches.take_text_of_cgi_scripts()
    if is_python25:
        python25.install()
    channel_stub.install(library, request_deadline.request_id)
    runtime_patches.translate_addresses(runtime_info["address"], runtime_info["port"])
    request_deadline.install(runtime_info, reporter)


sandbox.enable_sandbox = enable_sandbox
