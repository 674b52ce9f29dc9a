"""Turn errors of a connection to a Windows host into messages that say what to do."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from nbserver.base.errors import AuthenticationError, CertificateError, ConnectError, HostError, ScriptError
from nbserver.base.message import Message, message
from nbserver.base.pinned_tls import FingerprintMismatch

if TYPE_CHECKING:
    from nbserver.inventory.windows_host import WindowsHost

_TIMED_OUT = 2150858793
# ERROR_WSMAN_QUOTA_MAX_SHELLS, _MAX_OPERATIONS (each open shell has one), and _MAX_SHELLS_PPQ of wsmerror.h
_TOO_MANY_SHELLS = (2150859173, 2150859174, 2150859236)
_SHELLS_DISABLED = 2150859180  # ERROR_WSMAN_REMOTESHELLS_NOT_ALLOWED


def explain(error: Exception, host: WindowsHost) -> HostError:
    """Return the error to show for an exception of pypsrp, pywinrm, requests, or a socket."""
    import requests
    from pypsrp.exceptions import FragmentError

    name, place = host.name, f"{host.address}:{host.port}"
    if isinstance(error, HostError):
        return error
    if isinstance(error, FingerprintMismatch):
        return error.for_host(
            name,
            advice=message(
                "listener-certificate-renewed",
                "If the listener's certificate was renewed, verify its fingerprint on the host and update fingerprint in the inventory",
            ),
        )
    if _is(error, "AuthenticationError", "InvalidCredentialsError"):
        return _rejected(host, place)
    if _is(error, "WinRMTransportError"):
        return _http(error.code, host, place)  # type: ignore[attr-defined]
    fault = _fault(error)
    if fault is not None:
        return _of_fault(fault, str(error), name)
    if isinstance(error, requests.exceptions.ProxyError):
        return ConnectError(
            "proxy-not-connected",
            "the proxy {proxy} could not connect to {place}",
            host=name,
            todo="Check the proxy setting in the inventory",
            proxy=host.proxy,
            place=place,
        )
    if isinstance(error, requests.exceptions.SSLError) and "timed out" not in str(error):
        return _tls(str(error), host, place)
    if isinstance(error, FragmentError):
        return ConnectError("response-part-lost", "part of the host's response was lost", host=name, todo="Run the command again")
    if isinstance(error, PermissionError) and "NTLM" in str(error):
        return AuthenticationError(
            "ntlm-not-offered",
            "{place} does not offer NTLM",
            host=name,
            todo='Set auth to another method in the inventory, or set transport = "psrp"',
            place=place,
        )
    if isinstance(error, (requests.exceptions.ConnectionError, requests.exceptions.Timeout, OSError)):
        return _network(error, host, place)
    if isinstance(error, UnicodeEncodeError):  # its text has a character of the password
        return AuthenticationError(
            "logon-not-encodable",
            'user or password contains a character that cannot be sent with auth = "{auth}"',
            host=name,
            todo="Set auth to another method in the inventory, or choose another password",
            auth=host.auth,
        )
    if type(error).__module__.startswith("spnego"):
        return AuthenticationError(
            "logon-impossible",
            "this workstation cannot log in to {place} (auth: {auth}): {reason}",
            host=name,
            todo="Set user and password in the inventory, or log in to the domain",
            place=place,
            auth=host.auth,
            reason=str(error),
        )
    return ScriptError(
        "protocol-error",
        "the connection failed with a protocol error ({kind}: {reason})",
        host=name,
        todo="Run the command again. If it fails again, check the host's log in the run directory",
        kind=type(error).__name__,
        reason=str(error),
    )


def _is(error: Exception, *names: str) -> bool:
    """Return whether this is an exception of pypsrp or pywinrm with one of these names, many of which exist in both."""
    return any(kind.__name__ in names and kind.__module__ in ("pypsrp.exceptions", "winrm.exceptions") for kind in type(error).__mro__)


def _fault(error: Exception) -> int | None:
    """Return the code of a WSMan fault, which pypsrp and pywinrm store in different places."""
    if _is(error, "WinRMOperationTimeoutError"):
        return _TIMED_OUT
    if _is(error, "WSManFaultError"):
        with suppress(TypeError, ValueError):  # the value comes from the host
            return int(getattr(error, "wsman_fault_code", None) or error.code)  # type: ignore[attr-defined]
    return None


def _rejected(host: WindowsHost, place: str) -> AuthenticationError:
    if host.user:
        return AuthenticationError(
            "user-rejected",
            "{place} rejected the user {user} (auth: {auth})",
            host=host.name,
            todo="Check user, password, and auth in the inventory",
            place=place,
            user=host.user,
            auth=host.auth,
        )
    return AuthenticationError(
        "logon-rejected",
        "{place} rejected the credentials of the current user (auth: {auth})",
        host=host.name,
        todo="{advice}",
        advice=_sign_in(host),
        place=place,
        auth=host.auth,
    )


def _sign_in(host: WindowsHost) -> Message:
    if host.transport == "winrm":  # with Kerberos, it uses only the ticket of the current user
        return message(
            "sign-in-to-windows",
            "Log in with an account that can access the host (on Linux, with kinit), or set user, password, and a different auth in the inventory",
        )
    return message("set-user-and-password", "Set user and password in the inventory, or correct auth")


def _of_fault(fault: int, words: str, host: str) -> ConnectError:
    """Return the error for a WSMan fault: [MS-WSMV] 2.2.4.43 and wsmerror.h."""
    if fault == 5:
        return ConnectError(
            "winrm-access-denied",
            "the host denied WinRM access to this account",
            host=host,
            todo="Add the account to the Administrators or Remote Management Users group on the host, or use another account",
        )
    if fault == 995:
        return ConnectError(
            "winrm-shell-closed",
            "the host closed the shell during the run",
            host=host,
            todo="Check the host's event log and try again",
        )
    if fault == _TIMED_OUT:
        return ConnectError(
            "winrm-session-too-slow",
            "the host took too long to open a PowerShell session",
            host=host,
            todo="Check the host's load, then run the command again",
        )
    if fault == 2150858811:
        return ConnectError(
            "winrm-no-endpoint",
            "the host has no PowerShell endpoint with the name in configuration_name",
            host=host,
            todo="Correct configuration_name in the inventory, or run Enable-PSRemoting on the host",
        )
    if fault == 2150858843:
        return ConnectError(
            "winrm-shell-gone",
            "the shell on the host no longer exists: the host restarted or closed it",
            host=host,
            todo="Run the command again",
        )
    if fault in _TOO_MANY_SHELLS:
        return ConnectError(
            "winrm-too-many-shells",
            "this user has too many open shells on the host",
            host=host,
            todo="Close other PowerShell sessions of this user on the host, or wait until they end",
        )
    if fault == _SHELLS_DISABLED:
        return ConnectError(
            "winrm-shells-disabled",
            "the host does not allow remote shells (AllowRemoteShellAccess is false)",
            host=host,
            todo='Set transport = "ssh" in the inventory, or ask the administrator who manages the group policy "Allow Remote Shell Access" '
            "to exempt this host",
        )
    return ConnectError(
        "winrm-fault",
        "the host returned WSMan fault {fault}: {reason}",
        host=host,
        todo="Run winrm quickconfig on the host. If that does not help, search Microsoft's documentation for this fault code",
        fault=fault,
        reason=words,
    )


def _http(code: int, host: WindowsHost, place: str) -> HostError:
    if code == 413:
        return ConnectError(
            "envelope-size-too-small",
            "the host's MaxEnvelopeSizekb is too small for the script",
            host=host.name,
            todo="Run on the host: Set-Item WSMan:\\localhost\\MaxEnvelopeSizekb 500",
        )
    if code == 404:
        return ConnectError(
            "not-winrm",
            "{place} answered, but is not a WinRM listener",
            host=host.name,
            todo="Check address and port in the inventory",
            place=place,
        )
    if code in (502, 503, 504):
        return ConnectError(
            "winrm-unavailable",
            "{place} is temporarily unavailable (HTTP status {status})",
            host=host.name,
            todo="Wait a minute, then run the command again. If that does not help, check the host's load and event log",
            place=place,
            status=code,
        )
    return ConnectError(
        "winrm-http-status",
        "{place} returned HTTP status {status}",
        host=host.name,
        todo="Check that port and tls match the host's listener, and check the host's event log",
        place=place,
        status=code,
    )


def _tls(words: str, host: WindowsHost, place: str) -> HostError:
    if "CERTIFICATE_VERIFY_FAILED" in words or "certificate verify failed" in words:
        reason = words.rpartition("certificate verify failed: ")[2].split(" (_ssl")[0].rstrip("\"')")
        return CertificateError(
            "winrm-certificate-untrusted",
            "the certificate of {place} is not trusted: {reason}",
            host=host.name,
            todo="Set ca_file to the CA's certificate, or set fingerprint to pin the listener's certificate",
            place=place,
            reason=reason,
        )
    return ConnectError(
        "winrm-no-tls",
        "could not establish a TLS connection with {place}",
        host=host.name,
        todo="Check port and tls in the inventory (port 5986 uses TLS, port 5985 does not)",
        place=place,
    )


def _network(error: Exception, host: WindowsHost, place: str) -> ConnectError:
    words = str(error)
    if "NameResolution" in words or "getaddrinfo" in words or "Name or service not known" in words:
        return ConnectError(
            "name-not-resolved",
            "this workstation could not resolve the name {address}",
            host=host.name,
            todo="Check the address in the inventory and the DNS settings of this workstation",
            address=host.address,
        )
    if "refused" in words or "10061" in words:
        return ConnectError(
            "winrm-nothing-listening",
            "{place} refused the connection",
            host=host.name,
            todo="Check that PowerShell remoting is enabled on the host (nbserver init --enable-remoting FILE), that no firewall rejects the connection, and that port is correct in the inventory",
            place=place,
        )
    if "timed out" in words or "Timeout" in words:
        return ConnectError(
            "winrm-no-answer",
            "{place} did not answer",
            host=host.name,
            todo="Check that the host is up and that no firewall blocks the port",
            place=place,
        )
    return ConnectError(
        "connection-lost", "the connection to {place} was lost", host=host.name, todo="Check the network and try again", place=place
    )
