# Starts the notebook server. Its configuration stands beside this file, what it writes goes to "work".
import os
import sys

service = os.path.dirname(os.path.abspath(__file__))
work = os.path.join(os.path.dirname(service), "work")

os.environ.update(
    JUPYTER_CONFIG_DIR=service,
    JUPYTER_DATA_DIR=os.path.join(work, "data"),
    JUPYTER_RUNTIME_DIR=os.path.join(work, "runtime"),
    JUPYTERLAB_SETTINGS_DIR=os.path.join(work, "settings"),
    JUPYTERLAB_WORKSPACES_DIR=os.path.join(work, "workspaces"),
    IPYTHONDIR=os.path.join(work, "ipython"),
    MPLCONFIGDIR=os.path.join(work, "matplotlib"),
    MPLBACKEND="module://matplotlib_inline.backend_inline",
    PYTHONUTF8="1",
)

# One log for each start, and the one before it. A task has no console: without a file nothing is seen.
log = os.path.join(work, "notebook.log")
if os.path.exists(log):
    os.replace(log, log + ".before")
sys.stdout = sys.stderr = open(log, "w", buffering=1, encoding="utf-8")

# Kernels inherit the streams below those, and a program without a console has none that they could use.
for stream in range(3):
    os.dup2(os.open(os.devnull, os.O_RDWR), stream)

from notebook.app import main

main(["--no-browser"])