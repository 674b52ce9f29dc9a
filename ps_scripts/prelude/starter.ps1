# ---- prelude: starter ------------------------------------------------------------------------------
# Define the Python program that starts the server, the same as on Linux.

# It is a file next to the configuration. Only the accounts in $Trusted can write to that folder.
# The option -I in its command makes Python import modules from nowhere else.

$StarterFile = Join-Path $ServiceFolder 'serve.py'

$Starter = @'
# Start the notebook server: python -I serve.py CONFIGURATION WORK [LOG]
#
# Only CONFIGURATION and the packages of this Python, in their own folders, configure the server and its kernels. Other
# configuration of Jupyter, IPython, pip, and uv is ignored, whether it is for all users or for one. If the server would
# still not do what CONFIGURATION says, it does not start.
# The server and its kernels write to the folder WORK. LOG is a file for the log where no system service keeps it.
import errno
import importlib.util
import json
import os
import shutil
import socket
import sys
import threading
import time

configuration, work = sys.argv[1:3]
folder = os.path.dirname(configuration)
own_configuration = os.path.join(sys.prefix, "etc", "jupyter")
own_data = os.path.join(sys.prefix, "share", "jupyter")
with open(configuration, encoding="utf-8") as file:
    settings = json.load(file)
os.chdir(folder)                                    # before 2022, Jupyter read configuration from its working folder

LARGEST_LOG = 20_000_000                            # bytes


class Log:
    """The file for the log. When it is large, its text moves to LOG.before: the server may run for months."""

    def __init__(self, path, mode):
        self.path = path
        self.lock = threading.RLock()
        self.file = open(path, mode, buffering=1, encoding="utf-8")

    def write(self, text):
        with self.lock:
            if self.file.tell() > LARGEST_LOG:
                try:
                    shutil.copyfile(self.path, self.path + ".before")
                except OSError:
                    pass                            # without space, only the new text is kept
                self.file.seek(0)
                self.file.truncate()
            return self.file.write(text)

    def __getattr__(self, name):
        return getattr(self.file, name)


if len(sys.argv) > 3:
    log = sys.argv[3]
    mode = "w"
    try:
        if os.path.exists(log):
            os.replace(log, log + ".before")
    except OSError:                                 # Windows renames no file that another program shows
        mode = "a"
    sys.stdout = sys.stderr = Log(log, mode)
    # Kernels inherit the file descriptors 0 to 2. A program without a console has none that they could use.
    for descriptor in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)

# ---- environment variables, which kernels and terminals inherit

ignored = "JUPYTER", "JPY_", "IPYTHON", "PYTHON", "OPENSSL_", "PIP_", "UV_", "MPL", "MATPLOTLIB"
for name in list(os.environ):
    if name.upper().startswith(ignored):
        del os.environ[name]
os.environ.update(
    JUPYTER_CONFIG_DIR=folder,
    JUPYTER_DATA_DIR=os.path.join(work, "data"),
    JUPYTER_RUNTIME_DIR=os.path.join(work, "runtime"),
    JUPYTERLAB_DIR=os.path.join(own_data, "lab"),
    JUPYTERLAB_SETTINGS_DIR=os.path.join(work, "settings"),
    JUPYTERLAB_WORKSPACES_DIR=os.path.join(work, "workspaces"),
    IPYTHONDIR=os.path.join(work, "ipython"),
    MPLCONFIGDIR=os.path.join(work, "matplotlib"),
    PIP_CONFIG_FILE=os.devnull,
    UV_NO_CONFIG="1",
    PYTHONUTF8="1",
)
if os.name == "nt":
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"

# ---- wait for the address: when a host starts, a fixed one may come later than the server

address = settings["ServerApp"]["ip"]
reported = False
while address != "*":
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.bind((address, 0))
        break
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            break                                   # the server reports it
    if not reported:
        reported = True
        print(f"The notebook server waits until this host has the address {address}", file=sys.stderr, flush=True)
    time.sleep(1)

# ---- folders in which Jupyter finds configuration, kernel specifications, and extensions

from jupyter_core import paths


def data_path(*subfolders):
    return [os.path.join(own_data, *subfolders)]


def configuration_path():
    return [folder, own_configuration]


# Other modules import these names, so they are replaced before any of these modules is imported.
paths.jupyter_path = data_path
paths.jupyter_config_path = configuration_path
paths.SYSTEM_JUPYTER_PATH[:] = [own_data]
paths.SYSTEM_CONFIG_PATH[:] = [own_configuration]

from jupyter_client.kernelspec import KernelSpecManager

# IPython reads the configuration of the machine, and no setting prevents it. Python searches the working folder first;
# without sys.path[0], imports of the kernel itself do not search it, and imports in a notebook still do.
KERNEL = (
    "import sys; del sys.path[0]; "
    "from IPython.core import application; application.SYSTEM_CONFIG_DIRS.clear(); "
    "from ipykernel.kernelapp import launch_new_instance; launch_new_instance(exec_lines={lines})"
)

# In an environment that belongs to administrators, %pip and !pip say what to do, in place of a permission error.
NO_PACKAGES = (
    "Packages cannot be installed from a notebook, because the environment belongs to an administrator. "
    "Ask the administrator to add the package to packages.include in the inventory, then to run nbserver lock and "
    "nbserver apply"
)
SAY_SO = [
    "setattr(get_ipython(), \"system\", lambda command, run=get_ipython().system: print({text!r}) "
    "if __import__(\"re\").match({pattern!r}, command) else run(command))",
    "(lambda run: run and get_ipython().register_magic_function(lambda line: print({text!r}) "
    "if __import__(\"re\").match({pattern!r}, {name!r} + \" \" + line) else run(line), \"line\", {name!r}))"
    "(get_ipython().find_line_magic({name!r}))",
]
PATTERN = r"\s*(.*\bpy\S* +-m +)?(pip[0-9.]*|uv +pip|conda|mamba|micromamba) +(-\S+ +)*(un)?install\b"
closed = not os.access(sys.prefix, os.W_OK) or sys.prefix.startswith(os.environ.get("PROGRAMFILES", "|"))
lines = []
if closed:
    names = ("system", "pip", "uv", "conda", "mamba", "micromamba")
    lines = [SAY_SO[name != "system"].format(name=name, text=NO_PACKAGES, pattern=PATTERN) for name in names]


class OwnKernels(KernelSpecManager):
    """The kernels that are installed with this Python, in folders that no kernel can write to."""

    def _kernel_dirs_default(self):
        return data_path("kernels")

    def get_kernel_spec(self, kernel_name):
        found = super().get_kernel_spec(kernel_name)
        if "ipykernel_launcher" in found.argv:      # its arguments are -m ipykernel_launcher
            at = found.argv.index("ipykernel_launcher")
            found.argv[at - 1 : at + 1] = ["-c", KERNEL.format(lines=lines)]
        return found


# ---- what the pages do not offer, because it cannot work or asks another host

NO_EXTENSIONS = {"extension_manager": "readonly", "news_url": None}
HIDDEN = ["@jupyterlab/apputils-extension:announcements", "@jupyterlab/extensionmanager-extension"]
EXPORTERS = {                                       # exporters of nbconvert, and what they need
    "LatexExporter": shutil.which("pandoc"),
    "RSTExporter": shutil.which("pandoc"),
    "ASCIIDocExporter": shutil.which("pandoc"),
    "PDFExporter": shutil.which("pandoc") and shutil.which("xelatex"),
    "WebPDFExporter": importlib.util.find_spec("playwright"),
    "QtPDFExporter": importlib.util.find_spec("PyQtWebEngine"),
    "QtPNGExporter": importlib.util.find_spec("PyQtWebEngine"),
}
own = {name: {"enabled": False} for name, needed in EXPORTERS.items() if not needed}
own["LabApp"] = NO_EXTENSIONS
# The account of a service has no trash that anybody could open or empty, and cannot create one on another disk. In
# user scope, it is that of the user.
if closed:
    own["FileContentsManager"] = {"delete_to_trash": False, "always_delete_dir": True}
# Whether several people can edit a notebook at the same time (the package jupyter-collaboration).
own["YDocExtension"] = {"disable_rtc": "YDocExtension" not in settings}


def hide_extensions(handler, page):
    page["disabledExtensions"] = [*page.get("disabledExtensions", []), *HIDDEN]
    return page


# ---- create the server, which does not serve yet

if importlib.util.find_spec("notebook.app"):        # notebook 7
    from jupyter_server.auth.authorizer import AllowAllAuthorizer
    from jupyter_server.auth.identity import PasswordIdentityProvider
    from jupyter_server.auth.login import LoginFormHandler
    from jupyter_server.serverapp import ServerApp
    from traitlets.config import Config

    extensions = ["notebook"]
    if not os.path.isdir(os.path.join(own_configuration, "jupyter_server_config.d")):
        # Packages of a Linux distribution enable their extensions in folders of the machine, which are ignored.
        extensions += ["jupyter_lsp", "jupyter_server_terminals", "jupyterlab", "notebook_shim"]
    enabled = {name: True for name in extensions if importlib.util.find_spec(name)}
    first = "lab" if settings["ServerApp"].get("default_url") == "/lab" else "notebook"
    server = ServerApp.instance(
        config=Config(own),
        jpserver_extensions=enabled,
        kernel_spec_manager_class=OwnKernels,
        tornado_settings={"page_config_hook": hide_extensions},
    )
    server.initialize(argv=[], starter_extension=first)
    identity = server.identity_provider
    sections = {"ServerApp": server, "IdentityProvider": identity, "PasswordIdentityProvider": identity}
    classes = [
        ("the identity provider", type(identity), PasswordIdentityProvider),
        ("the login handler", getattr(identity, "login_handler_class", None), LoginFormHandler),
        ("the authorizer", type(server.authorizer), AllowAllAuthorizer),
    ]
else:                                               # notebook 6
    from notebook.auth.login import LoginHandler
    from notebook.notebookapp import NotebookApp

    class Server(NotebookApp):
        nbextensions_path = property(lambda self: data_path("nbextensions"))

    server = Server.instance(kernel_spec_manager_class=OwnKernels)
    server.initialize(argv=[])
    sections = {"NotebookApp": server}
    classes = [("the login handler", server.login_handler_class, LoginHandler)]
sections["MappingKernelManager"] = server.kernel_manager
classes.append(("the kernel specification manager", type(server.kernel_spec_manager), OwnKernels))

# ---- compare the configuration with the values of the server, and with those that it uses to answer requests

answering = server.web_app.settings
differs = [what for what, found, expected in classes if found is not expected]
for section, owner in sections.items():
    for name, expected in settings.get(section, {}).items():
        if name == "ip" and expected == "*":
            expected = ""
        if getattr(owner, name, None) != expected or answering.get(name, expected) != expected:
            differs.append(section + "." + name)
        if name in ("root_dir", "notebook_dir") and server.contents_manager.root_dir != expected:
            differs.append("the folder of the contents manager")
if differs:
    names = ", ".join(differs)
    print(
        f"The notebook server does not start, because its effective configuration differs from {configuration}: "
        f"{names}. Remove other Jupyter configuration from {folder} and {own_configuration}, then run nbserver apply",
        file=sys.stderr,
    )
    sys.exit(78)                                    # EX_CONFIG: starting it again would not help
os.chdir(work)
server.start()
'@ -replace "`r", ''
