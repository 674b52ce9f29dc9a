# ---- prelude: starter ------------------------------------------------------------------------------
# Keep the Python program that starts the notebook server.

# Its text is the same on Windows and Linux. It becomes a file next to the configuration, which only root can write.

STARTER='# Starts the notebook server: python -I serve.py CONFIGURATION WORK [LOG]
# Nothing configures the server and its kernels but CONFIGURATION and what the packages of this Python have in
# their own folders: no configuration of the machine or of a user counts, neither for Jupyter and IPython nor for
# pip and uv. If the server would not do what CONFIGURATION says, it does not start.
# The server and its kernels write to the folder WORK. The log is a file only where no system service keeps it.
import importlib.util
import json
import os
import sys

configuration, work = sys.argv[1:3]
folder = os.path.dirname(configuration)
own_configuration = os.path.join(sys.prefix, "etc", "jupyter")
own_data = os.path.join(sys.prefix, "share", "jupyter")
os.chdir(folder)                                    # Jupyter of before 2022 reads configuration in its working folder

if len(sys.argv) > 3:
    log = sys.argv[3]
    if os.path.exists(log):
        os.replace(log, log + ".before")
    sys.stdout = sys.stderr = open(log, "w", buffering=1, encoding="utf-8")
    # Kernels inherit the streams below those, and a program without a console has none that they could use.
    for stream in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)

# ---- variables: kernels and terminals inherit them

foreign = "JUPYTER", "JPY_", "IPYTHON", "PYTHON", "OPENSSL_", "PIP_", "UV_", "MPL", "MATPLOTLIB"
for name in list(os.environ):
    if name.upper().startswith(foreign):
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

# ---- folders: where Jupyter looks for configuration, kernel specifications and extensions

from jupyter_core import paths


def data_path(*subfolders):
    return [os.path.join(own_data, *subfolders)]


def configuration_path():
    return [folder, own_configuration]


# Other modules import these by name, so they are replaced before any of them is imported.
paths.jupyter_path = data_path
paths.jupyter_config_path = configuration_path
paths.SYSTEM_JUPYTER_PATH[:] = [own_data]
paths.SYSTEM_CONFIG_PATH[:] = [own_configuration]

from jupyter_client.kernelspec import KernelSpecManager

# IPython has no setting that keeps it from reading the configuration of the machine.
# The working folder, which Python searches first, is searched only by what people write.
KERNEL = (
    "import sys; del sys.path[0]; "
    "from IPython.core import application; application.SYSTEM_CONFIG_DIRS.clear(); "
    "from ipykernel.kernelapp import launch_new_instance; launch_new_instance()"
)


class OwnKernels(KernelSpecManager):
    """Kernels that are installed with this Python, and in no folder that a kernel can write to."""

    def _kernel_dirs_default(self):
        return data_path("kernels")

    def get_kernel_spec(self, kernel_name):
        found = super().get_kernel_spec(kernel_name)
        if "ipykernel_launcher" in found.argv:      # after "-m"
            at = found.argv.index("ipykernel_launcher")
            found.argv[at - 1 : at + 1] = ["-c", KERNEL]
        return found


# ---- the server, made but not yet serving

if importlib.util.find_spec("notebook.app"):        # notebook 7
    from jupyter_server.auth.authorizer import AllowAllAuthorizer
    from jupyter_server.auth.identity import PasswordIdentityProvider
    from jupyter_server.auth.login import LoginFormHandler
    from jupyter_server.serverapp import ServerApp

    extensions = ["notebook"]
    if not os.path.isdir(os.path.join(own_configuration, "jupyter_server_config.d")):
        # Packages of a distribution enable themselves in the folders of the machine.
        extensions += ["jupyter_lsp", "jupyter_server_terminals", "jupyterlab", "notebook_shim"]
    enabled = {name: True for name in extensions if importlib.util.find_spec(name)}
    server = ServerApp.instance(jpserver_extensions=enabled, kernel_spec_manager_class=OwnKernels)
    server.initialize(argv=[], starter_extension="notebook")
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
classes.append(("the kernel specification manager", type(server.kernel_spec_manager), OwnKernels))

# ---- whether it would do what the configuration says: its own values, and those that answer requests

with open(configuration, encoding="ascii") as file:
    settings = json.load(file)
answering = server.web_app.settings
differs = [what for what, found, expected in classes if found is not expected]
for section, owner in sections.items():
    for name, expected in settings[section].items():
        if name == "ip" and expected == "*":
            expected = ""
        if getattr(owner, name, None) != expected or answering.get(name, expected) != expected:
            differs.append(section + "." + name)
        if name in ("root_dir", "notebook_dir") and server.contents_manager.root_dir != expected:
            differs.append("the folder of the contents manager")
if differs:
    print(
        "The notebook server does not start, because its effective configuration differs from " + configuration
        + ": " + ", ".join(differs) + ". Remove other configuration of Jupyter from " + folder + " and "
        + own_configuration + ", then run nbserver apply.",
        file=sys.stderr,
    )
    sys.exit(78)                                    # EX_CONFIG
os.chdir(work)
server.start()
'
