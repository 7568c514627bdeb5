"""Runs the SDK's dev_appserver.py (Python 2.7) so that it writes nothing into the app's folder.

``python2.7 launcher.py FOLDER SDK/dev_appserver.py ARGUMENTS...``

The dev server keeps index.yaml of the app up to date with the queries it has seen. Here it does so in FOLDER, with the
app's own index.yaml to start from; nothing else about it is changed.
"""

import os
import shutil
import sys


def main(folder, script):
    sys.argv[:] = sys.argv[2:]
    sys.path[0] = os.path.dirname(script)
    import dev_appserver

    dev_appserver.fix_sys_path()
    from google.appengine.datastore import datastore_stub_index

    def redirected(updater, root_path):
        mine = os.path.join(folder, "index.yaml")
        theirs = os.path.join(root_path, "index.yaml")
        if os.path.isfile(theirs):
            shutil.copyfile(theirs, mine)
        updater.root_path = folder

    datastore_stub_index.IndexYamlUpdater.__init__ = redirected
    run = {"__name__": "__main__", "__file__": script}
    dev_appserver._run_file(script, run)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
