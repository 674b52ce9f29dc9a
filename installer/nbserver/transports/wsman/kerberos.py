"""Find out whether this workstation can log on with Kerberos, before any host is contacted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nbserver.base.errors import UsageError

if TYPE_CHECKING:
    from nbserver.inventory.windows_host import WindowsHost


def require_kerberos(host: WindowsHost) -> None:
    """Raise UsageError if the host needs Kerberos and the Python packages for it are missing.

    pypsrp uses SSPI on Windows, and elsewhere gssapi and krb5. pywinrm uses a package of its own.
    """
    if host.auth == "kerberos" and not (_winrm_can() if host.transport == "winrm" else _psrp_can()):
        raise UsageError(
            "kerberos-not-installed",
            'auth = "kerberos" requires Python packages that are not installed',
            where=host.name,
            todo='Run pip install "nbserver[kerberos]", or set auth to another method in the inventory',
        )


def _psrp_can() -> bool:
    if sys.platform == "win32":
        return True
    try:
        import gssapi  # noqa: F401
        import krb5  # noqa: F401
    except (ImportError, OSError):  # OSError: the system's Kerberos library is missing
        return False
    return True


def _winrm_can() -> bool:
    from winrm import transport

    return transport.HAVE_KERBEROS
