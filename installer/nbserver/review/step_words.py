"""What each step does, in plain words: what it changes, how to see it, and how to undo it by hand.

A value in braces is a setting, with an underscore for each period: {notebook_port}. The review fills it in. `nbserver undo` undoes every step.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """`sees` and `undoes` are commands or places; `undoes` is "" for a step that leaves nothing to undo."""

    changes: str
    sees: str
    undoes: str = ""


_PREFLIGHT = "Nothing. Refuses a host on which the notebook server cannot work"
NOT_BY_HAND = "Not by hand. What this step removes is nbserver's own, from an earlier release or earlier settings"
_CHECK = Words(
    "Nothing. Waits until port {notebook_port} answers with the certificate, then checks that requests without the password are refused",
    "nbserver verify",
)

WINDOWS_MACHINE = {
    "preflight": Words(
        f"{_PREFLIGHT}: PowerShell, processor, rights, execution policy, Windows release, Universal C Runtime, notebook folder, clock, disk, "
        "and memory limit",
        "nbserver plan",
    ),
    "tls": Words("Nothing on the host. Enables TLS 1.2 for the downloads of this run", "The step tls in the script"),
    "ie_esc": Words(
        "Turns off IE Enhanced Security Configuration for administrators while other steps have work to do, and restores it in the same "
        "run. Until then, the startup task nbserver-close-ie_esc, which runs as SYSTEM, would restore it after a crash",
        "Server Manager, Local Server, and schtasks /query /tn nbserver-close-ie_esc",
        "Only after a crash: restart Windows; or turn it on in Server Manager, then schtasks /delete /tn nbserver-close-ie_esc",
    ),
    "python": Words(
        "Installs Python {python_version} for the whole machine, or in %ProgramFiles%\\nbserver. Uses an existing Python of that version "
        "if only administrators can write to it",
        'dir "$env:ProgramFiles\\nbserver"',
        "Uninstall Python in Settings, or remove its folder in %ProgramFiles%\\nbserver",
    ),
    "vc_redist": Words(
        "Installs the Visual C++ runtime that OpenSSL needs. An older one that it replaces cannot be restored",
        "Apps in Settings",
        "Uninstall it in Settings",
    ),
    "openssl": Words(
        "Installs OpenSSL {openssl_version} for the whole machine, or in %ProgramFiles%\\nbserver",
        "Apps in Settings",
        "Uninstall it in Settings, or remove its folder in %ProgramFiles%\\nbserver",
    ),
    "packages": Words(
        "Creates a virtual environment in %ProgramFiles%\\nbserver with exactly the packages of the lock, and imports the core packages",
        "nbserver.lock in the folder env-... there",
        "Remove the folder env-... there",
    ),
    "certificate": Words(
        "Creates or reads key, certificate, and request in %ProgramData%\\nbserver\\service. Names: {certificate_names}",
        "certificate.pem in %ProgramData%\\nbserver\\service",
        "Remove the files in that folder",
    ),
    "notebook": Words(
        "Writes configuration and starter to %ProgramData%\\nbserver\\service. Gives the service write access to {notebook_directory} and "
        "to %ProgramData%\\nbserver\\work. Writes Welcome.ipynb to the folder of the notebooks, unless somebody has changed or removed it",
        "jupyter_server_config.json in %ProgramData%\\nbserver\\service",
        "Remove the files in that folder",
    ),
    "takeover": Words(
        "With adopt = true: stops another program that uses port {notebook_port} and disables its service or task, disables other "
        "firewall rules for the port, and removes PATH entries of earlier setups. Otherwise nothing: what is in the way is refused. "
        "adopt is {adopt}",
        "nbserver plan",
        "Enable the service, task, or rules again",
    ),
    "service": Words(
        "Creates and starts the scheduled task nbserver, which runs the server as LOCAL SERVICE on {notebook_ip}, port {notebook_port}",
        "schtasks /query /tn nbserver /v /fo list",
        "schtasks /end /tn nbserver, then schtasks /delete /tn nbserver",
    ),
    "firewall": Words(
        "Creates one inbound rule nbserver, which opens TCP port {notebook_port} to these addresses: {firewall_remote_addresses}",
        "Get-NetFirewallRule -Name nbserver",
        "Remove-NetFirewallRule -Name nbserver",
    ),
    "check": _CHECK,
    "path": Words(
        "Adds the environment, Python, Python's scripts, and OpenSSL, or the entries of path.entries, at the end of the machine's PATH",
        "[Environment]::GetEnvironmentVariable('Path', 'Machine')",
        "Remove the entries from the machine's PATH",
    ),
    "cleanup": Words(
        "Removes what an earlier release or other settings installed in %ProgramFiles%\\nbserver, and restores what only earlier settings "
        "needed, once the new server has answered. The previous environment is kept",
        'dir "$env:ProgramFiles\\nbserver"',
        NOT_BY_HAND,
    ),
}
WINDOWS_USER = {
    "preflight": Words(
        f"{_PREFLIGHT}: PowerShell, processor, execution policy, Windows release, Universal C Runtime, clock, disk, and port",
        "nbserver plan",
    ),
    "python": Words("Nothing. Requires the Python {python_version} that runs nbserver", "nbserver plan"),
    "packages": Words(
        "Creates a virtual environment in %LOCALAPPDATA%\\nbserver\\programs with exactly the packages of the lock, and imports the core packages",
        "nbserver.lock in the folder env-... there",
        "Remove the folder env-... there",
    ),
    "certificate": Words(
        "Creates key, self-signed certificate, and request in %LOCALAPPDATA%\\nbserver\\state\\service. Names: {certificate_names}",
        "certificate.pem in %LOCALAPPDATA%\\nbserver\\state\\service",
        "Remove the files in that folder",
    ),
    "notebook": Words(
        "Writes configuration and starter to %LOCALAPPDATA%\\nbserver\\state\\service, and creates {notebook_directory}. "
        "Writes Welcome.ipynb there, unless somebody has changed or removed it",
        "jupyter_server_config.json in %LOCALAPPDATA%\\nbserver\\state\\service",
        "Remove the files in that folder",
    ),
    "service": Words(
        "Starts the server as a background process of the user, on {notebook_ip}, port {notebook_port}",
        "nbserver status local",
        "nbserver stop local",
    ),
    "check": _CHECK,
    "cleanup": Words(
        "Removes environments of earlier releases once the new server has answered, except the previous one",
        "dir $env:LOCALAPPDATA\\nbserver\\programs",
        NOT_BY_HAND,
    ),
}
LINUX_MACHINE = {
    "preflight": Words(
        f"{_PREFLIGHT}: processor, rights, programs, systemd, distribution, folders, account of the service, clock, file systems, disk, "
        "name resolution, address, and port",
        "nbserver plan",
    ),
    "python": Words(
        "Installs the distribution's Python with venv, if missing. This may upgrade packages that the host already has, such as Python itself",
        "apt list python3-venv, or zypper search -i python3",
        "Remove the packages with apt or zypper",
    ),
    "packages": Words(
        "Creates a virtual environment in /opt/nbserver with exactly the packages of the lock, and the pip of the distribution's Python; "
        'with packages.source = "distribution", installs the distribution\'s own packages. packages.source is {packages_source}',
        "nbserver.lock in /opt/nbserver/env-...",
        "Remove the folder /opt/nbserver/env-..., or the packages",
    ),
    "openssl": Words("Installs the package openssl, if missing", "openssl version", "Remove the package with apt or zypper"),
    "user": Words(
        "Creates a system user and a group nbserver, without password and login shell", "getent passwd nbserver", "userdel nbserver"
    ),
    "certificate": Words(
        "Creates key, self-signed certificate, and request in /etc/nbserver. Names: {certificate_names}",
        "certificate.pem in /etc/nbserver",
        "Remove the files in /etc/nbserver",
    ),
    "notebook": Words(
        "Writes configuration and starter to /etc/nbserver. Gives the service write access to {notebook_directory} and to "
        "/var/lib/nbserver/work. Writes Welcome.ipynb to the folder of the notebooks, unless somebody has changed or removed it",
        "jupyter_config.json and serve.py in /etc/nbserver",
        "Remove the files in /etc/nbserver",
    ),
    "service": Words(
        "Installs, enables, and starts the unit nbserver.service, which runs the server on {notebook_ip}, port {notebook_port}",
        "systemctl status nbserver",
        "systemctl disable --now nbserver, then remove /etc/systemd/system/nbserver.service",
    ),
    "firewall": Words(
        "If ufw or firewalld is active: adds one rule per address, which opens TCP port {notebook_port} to these addresses: "
        "{firewall_remote_addresses}. Otherwise nothing",
        "ufw show added, or firewall-cmd --list-all",
        "ufw delete allow PORT/tcp, or firewall-cmd --remove-port=PORT/tcp, once as it is and once with --permanent",
    ),
    "check": _CHECK,
    "cleanup": Words(
        "Removes the environments of an earlier release or other settings, and restores what only earlier settings needed, once the new "
        "server has answered. The previous environment is kept",
        "ls /opt/nbserver",
        NOT_BY_HAND,
    ),
}
LINUX_USER = {
    "preflight": Words(
        f"{_PREFLIGHT}: processor, programs, folders, file systems, disk, name resolution, address, and port", "nbserver plan"
    ),
    "python": Words("Nothing. Requires a Python with venv that is already on the host", "nbserver plan"),
    "packages": Words(
        "Creates a virtual environment in ~/.local/share/nbserver with exactly the packages of the lock, and the pip of the host's Python",
        "nbserver.lock in ~/.local/share/nbserver/env-...",
        "Remove the folder ~/.local/share/nbserver/env-...",
    ),
    "certificate": Words(
        "Creates key, self-signed certificate, and request in ~/.config/nbserver. Names: {certificate_names}",
        "certificate.pem in ~/.config/nbserver",
        "Remove the files in ~/.config/nbserver",
    ),
    "notebook": Words(
        "Writes configuration and starter to ~/.config/nbserver, and creates {notebook_directory}. "
        "Writes Welcome.ipynb there, unless somebody has changed or removed it",
        "jupyter_config.json and serve.py in ~/.config/nbserver",
        "Remove the files in ~/.config/nbserver",
    ),
    "service": Words(
        "Starts the server on {notebook_ip}, port {notebook_port}: as the unit nbserver.service of the user, or without a systemd "
        "instance of the user, as a background process",
        "nbserver status local",
        "nbserver stop local",
    ),
    "check": _CHECK,
    "cleanup": Words(
        "Removes environments of earlier releases once the new server has answered, except the previous one",
        "ls ~/.local/share/nbserver",
        NOT_BY_HAND,
    ),
}
WORDS: dict[tuple[str, str], dict[str, Words]] = {
    ("Windows", "machine"): WINDOWS_MACHINE,
    ("Windows", "user"): WINDOWS_USER,
    ("Linux", "machine"): LINUX_MACHINE,
    ("Linux", "user"): LINUX_USER,
}
