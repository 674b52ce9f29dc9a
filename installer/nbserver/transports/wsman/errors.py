"""What went wrong on the way to a Windows host, in words that say what to do."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from nbserver.base.errors import AuthenticationError, CertificateError, ConnectError, HostError, ScriptError
from nbserver.base.pinned_tls import FingerprintMismatch

if TYPE_CHECKING:
    from nbserver.inventory.windows_host import WindowsHost

_TIMED_OUT = 2150858793
# [MS-WSMV] 2.2.4.43 and wsmerror.h
_FAULTS = {
    5: ("the host denies access", "Use an account that is in Administrators or Remote Management Users"),
    995: ("the host ended the shell in the middle", "Look into its event log, then run this again"),
    _TIMED_OUT: ("the host took too long to open a PowerShell session", "Try again; a host under load needs longer"),
    2150858811: ("the host knows no such endpoint", "Check configuration_name, or run Enable-PSRemoting there"),
    2150858843: ("the shell on the host is gone: it was restarted or ended it", "Run this again"),
    2150859174: ("too many shells are open for this user", "Close other sessions, or wait until they end"),
}


def explain(error: Exception, host: WindowsHost) -> HostError:
    """The error a person sees for what pypsrp, pywinrm, requests or a socket raised."""
    import requests
    from pypsrp.exceptions import FragmentError

    name, place = host.name, f"{host.address}:{host.port}"
    if isinstance(error, HostError):
        return error
    if isinstance(error, FingerprintMismatch):
        return error.for_host(
            name, todo="If the listener's certificate was renewed, compare with the host and put its new fingerprint into the inventory"
        )
    if _is(error, "AuthenticationError", "InvalidCredentialsError"):
        who = f"the user {host.user}" if host.user else "the current Windows logon"
        return AuthenticationError(
            f"{place} refuses {who} with {host.auth}", host=name, todo="Check user, password and auth in the inventory"
        )
    if _is(error, "WinRMTransportError"):
        return _http(error.code, host, place)  # type: ignore[attr-defined]
    fault = _fault(error)
    if fault is not None:
        what, todo = _FAULTS.get(
            fault, (f"the host answers with the WSMan fault {fault}: {error}", "Look it up, or run winrm quickconfig there")
        )
        return ConnectError(what, host=name, todo=todo)
    if isinstance(error, requests.exceptions.ProxyError):
        return ConnectError(f"the proxy {host.proxy} does not lead to {place}", host=name, todo="Check proxy in the inventory")
    if host.ca_file and any(sign in str(error) for sign in ("NO_CERTIFICATE_OR_CRL_FOUND", "PEM lib", "invalid path")):
        return CertificateError(
            f"{host.ca_file} holds no certificate in PEM", host=name, todo="Put the authority's certificate there, in PEM"
        )
    if isinstance(error, requests.exceptions.SSLError):
        return _tls(str(error), host, place)
    if isinstance(error, FragmentError):
        return ConnectError("a part of an answer was lost on the way", host=name, todo="Run this again")
    if isinstance(error, PermissionError) and "NTLM" in str(error):
        return AuthenticationError(f"{place} offers no NTLM", host=name, todo='Choose another auth in the inventory, or transport = "psrp"')
    if isinstance(error, (requests.exceptions.ConnectionError, requests.exceptions.Timeout, OSError)):
        return _network(error, host, place)
    if type(error).__module__.startswith("spnego"):
        return AuthenticationError(
            f"{place} wants a logon that this workstation cannot give with {host.auth}: {error}",
            host=name,
            todo="Set user and password in the inventory, or log on to the domain",
        )
    return ScriptError(f"the connection broke the protocol: {type(error).__name__}: {error}", host=name, todo="Run this again")


def _is(error: Exception, *names: str) -> bool:
    """Whether it is an exception of pypsrp or pywinrm with one of these names; many bear the same one in both."""
    return any(kind.__name__ in names and kind.__module__ in ("pypsrp.exceptions", "winrm.exceptions") for kind in type(error).__mro__)


def _fault(error: Exception) -> int | None:
    """The code of a WSMan fault: pypsrp and pywinrm keep it in different places."""
    if _is(error, "WinRMOperationTimeoutError"):
        return _TIMED_OUT
    if _is(error, "WSManFaultError"):
        with suppress(TypeError, ValueError):  # the host wrote it
            return int(getattr(error, "wsman_fault_code", None) or error.code)  # type: ignore[attr-defined]
    return None


def _http(code: int, host: WindowsHost, place: str) -> HostError:
    if code == 413:
        return ConnectError(
            "the host's MaxEnvelopeSizekb is too small for the script",
            host=host.name,
            todo="Run there: Set-Item WSMan:\\localhost\\MaxEnvelopeSizekb 500",
        )
    if code == 404:
        return ConnectError(f"{place} answers, but not WinRM", host=host.name, todo="Check address and port in the inventory")
    return ConnectError(
        f"{place} answers with HTTP status {code}",
        host=host.name,
        todo="Check that port and tls fit the host's listener, and its event log",
    )


def _tls(words: str, host: WindowsHost, place: str) -> HostError:
    if "CERTIFICATE_VERIFY_FAILED" in words or "certificate verify failed" in words:
        reason = words.rpartition("certificate verify failed: ")[2].split(" (_ssl")[0].rstrip("\"')")
        return CertificateError(
            f"the certificate of {place} is not trusted: {reason}",
            host=host.name,
            todo="Name its authority in ca_file, or pin the listener's own certificate with fingerprint",
        )
    return ConnectError(
        f"{place} speaks no TLS that this workstation accepts",
        host=host.name,
        todo="Check port and tls in the inventory (5986 is the port with TLS, 5985 the one without)",
    )


def _network(error: Exception, host: WindowsHost, place: str) -> ConnectError:
    words = str(error)
    if "NameResolution" in words or "getaddrinfo" in words or "Name or service not known" in words:
        return ConnectError(
            f"the name {host.address} is not known to this workstation", host=host.name, todo="Check address in the inventory, or the DNS"
        )
    if "refused" in words or "10061" in words:
        return ConnectError(
            f"nothing listens on {place}",
            host=host.name,
            todo="Enable PowerShell remoting there (README, a Windows admin's first host), or correct the port",
        )
    if "timed out" in words or "Timeout" in words:
        return ConnectError(
            f"{place} does not answer", host=host.name, todo="Check that the host is up and a firewall lets this port through"
        )
    return ConnectError(f"the connection to {place} broke", host=host.name, todo="Check the network between, then run this again")
