"""What runs beside a WSGI app in its instance, a process of its own behind the front.

The standard library alone, valid in Python 3.9 and newer, with relative imports: it is loaded by `wsgi_runner.py` into
the app's process, under another name, and imports nothing else of the emulator.

It reports to the front in JSON lines over an inherited pipe:

``{"state": "serving"}``
    the app has been imported, and its socket accepts requests.
``{"state": "failed", "reason": "module" | "attribute" | "raised", "text": …}``
    it has not; the process ends. "module" and "attribute" mean that what the target names does not exist.
``{"sources": {path: [modification time, size]}, "folders": […]}``
    source files of the app that have been loaded, as they were then; before a failure also the folders in which a
    missing module may turn up.
``{"overrun": request number, "cpu": seconds}``
    a handler is past its deadline; the CPU time it has used until then.
"""
