"""Makes the Channel API importable in every Python that has this folder on PYTHONPATH, without a change to the app.

Python imports this at its start. Another sitecustomize further along the path is run as well, as it would have been
without this one.
"""

import os
import sys

import channel_emu_shim

channel_emu_shim.install()


def _run_the_next_one():
    here = os.path.dirname(os.path.abspath(__file__))
    for folder in sys.path:
        path = os.path.join(folder, "sitecustomize.py")
        if os.path.abspath(folder) != here and os.path.isfile(path):
            with open(path, "rb") as source:
                code = compile(source.read(), path, "exec")
            exec(code, {"__name__": "sitecustomize", "__file__": path})
            return


_run_the_next_one()
