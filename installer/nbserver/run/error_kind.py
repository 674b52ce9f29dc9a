"""What kind of failure a host had: one of twelve words that a program can act on, computed from the code of its error.

The kind is not stored with an error: it follows from the outcome and the code, also of a run by an earlier release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

Kind = Literal["dns", "refused", "timeout", "host_key", "certificate", "auth", "sudo", "rights", "step", "reboot", "stopped", "internal"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# The codes of the errors of hosts, by kind. A test compares them with the source.
_CODES: dict[Kind, tuple[str, ...]] = {
    "dns": ("name-not-resolved", "notebook-name-not-resolved"),
    "refused": (
        "no-worker-left",
        "envelope-size-too-small",
        "init-no-certificate",
        "jump-forwarding-refused",
        "jump-not-reached",
        "jump-target-refused",
        "not-ssh",
        "not-winrm",
        "notebook-connection-failed",
        "notebook-no-tls",
        "notebook-nothing-listening",
        "notebook-proxy",
        "proxy-not-connected",
        "ssh-closed-early",
        "ssh-no-common-algorithm",
        "ssh-no-session",
        "ssh-not-reached",
        "ssh-nothing-listening",
        "tls-needed",
        "tls-not-offered",
        "winrm-fault",
        "winrm-http-status",
        "winrm-no-endpoint",
        "winrm-no-tls",
        "winrm-nothing-listening",
        "winrm-redirect",
        "winrm-shells-disabled",
        "winrm-too-many-shells",
        "winrm-unavailable",
    ),
    "timeout": (
        "cell-too-slow",
        "connection-lost",
        "connection-lost-in-run",
        "connection-lost-sending",
        "fetched-events-lost",
        "host-too-slow",
        "jump-lost",
        "notebook-no-answer",
        "response-end-lost",
        "response-incomplete",
        "response-part-lost",
        "run-too-slow",
        "scheduler-lost",
        "ssh-no-answer",
        "ssh-session-closed",
        "step-too-slow",
        "windows-session-closed",
        "winrm-no-answer",
        "winrm-response-too-slow",
        "winrm-session-too-slow",
        "winrm-shell-closed",
        "winrm-shell-gone",
        "workers-died",
    ),
    "host_key": (
        "host-certificate-refused",
        "host-key-changed",
        "host-key-invalid",
        "host-key-not-pinned",
        "host-key-revoked",
        "host-key-unknown",
        "jump-host-key",
        "known-hosts-unreadable",
        "known-hosts-writable",
        "windows-host-key-unknown",
    ),
    "certificate": (
        "ca-file-not-pem",
        "init-other-certificate",
        "notebook-certificate-dates",
        "notebook-certificate-invalid",
        "notebook-certificate-not-yet",
        "notebook-certificate-untrusted",
        "other-certificate",
        "trust-other-certificate",
        "winrm-certificate-untrusted",
    ),
    "auth": (
        "account-refused",
        "jump-logon-failed",
        "kerberos-not-installed",
        "key-file-encrypted",
        "key-file-encryption-unsupported",
        "key-file-unreadable",
        "key-file-unsupported",
        "key-password-wrong",
        "key-password-wrong-or-unsupported",
        "logon-impossible",
        "logon-not-encodable",
        "logon-rejected",
        "ntlm-not-offered",
        "password-expired",
        "password-rejected",
        "ssh-keys-rejected",
        "ssh-keys-rejected-no-passwords",
        "ssh-logon-cut-off",
        "ssh-logon-not-encodable",
        "ssh-logon-refused",
        "ssh-no-credentials",
        "ssh-no-credentials-empty-agent",
        "ssh-password-and-keys-rejected",
        "ssh-password-rejected",
        "ssh-passwords-not-accepted",
        "user-rejected",
        "windows-ssh-keys-rejected",
        "windows-ssh-logon-refused",
    ),
    "sudo": (
        "sudo-asks-more",
        "sudo-asks-twice",
        "sudo-did-not-start",
        "sudo-missing",
        "sudo-noexec",
        "sudo-not-allowed",
        "sudo-rejected-password",
        "sudo-requires-terminal",
        "sudo-silent",
        "sudo-wants-password",
        "sudo-without-bash",
    ),
    "rights": ("winrm-access-denied",),
    "step": (
        "another-command-ran",
        "any-password-accepted",
        "bash-failed",
        "bash-missing",
        "bash-not-started",
        "cell-failed",
        "cell-failed-with-traceback",
        "cell-output-unexpected",
        "error-output-too-large",
        "events-missing-on-host",
        "kernel-died",
        "kernel-message-not-json",
        "kernel-not-started",
        "kernel-sent",
        "kernel-too-many-messages",
        "kernel-without-id",
        "login-shell-is-csh",
        "backup-without-key",
        "delivery-not-stored",
        "log-too-large",
        "message-without-end",
        "notebook-became-shorter",
        "notebook-response-too-large",
        "numpy-wrong-results",
        "other-script",
        "output-line-too-long",
        "output-too-large",
        "output-too-many-lines",
        "picture-unexpected",
        "pictures-drawn",
        "powershell-ended",
        "powershell-failed",
        "powershell-not-started",
        "process-not-stopped-linux",
        "process-not-stopped-windows",
        "protocol-error",
        "request-does-not-match",
        "requirements-not-met",
        "response-encoded",
        "response-unexpected",
        "run-not-on-host",
        "run-without-end",
        "script-ended-by-signal",
        "script-killed",
        "script-output-invalid",
        "script-without-result",
        "secret-in-event",
        "secret-in-event-of-failure",
        "server-open",
        "shell-did-not-start",
        "start-output-too-large",
        "systemd-stop-failed",
        "token-accepted",
        "trust-store-failed",
        "websocket-not-http",
        "websocket-rejected",
        "windows-other-shell",
        "windows-powershell-not-started",
        "windows-powershell-restricted",
        "windows-powershell-silent",
        "windows-shell-silent",
        "windows-unix-shell",
        "winrm-response-too-large",
    ),
    "reboot": ("host-did-not-restart", "restart-needed", "restart-not-allowed", "restart-not-done"),
    "internal": (
        "delivery-unreadable",
        "events-not-saved",
        "internal-error",
        "internal-error-in-verify",
        "notebook-not-written",
        "notebook-written-by-two",
        "notebooks-folder-unusable",
        "picture-not-written",
        "worker-failed",
        "worker-output-invalid",
    ),
}
BY_CODE: Mapping[str, Kind] = {code: kind for kind, codes in _CODES.items() for code in codes}

# The codes of scripts that say more than that a step failed, by kind.
_SCRIPT_CODES: dict[Kind, tuple[str, ...]] = {
    "rights": ("needs-root", "not-administrator", "not-root", "notebooks-need-root"),
    "reboot": (
        "boot-time-unknown",
        "installer-needs-restart",
        "no-restart-by-hand",
        "reboot-pending",
        "reboot-still-needed",
        "reboot-still-pending",
        "restart-already-scheduled",
        "restart-failed",
        "restarts-used-up",
        "waits-for-restart",
    ),
}
BY_SCRIPT_CODE: Mapping[str, Kind] = {code: kind for kind, codes in _SCRIPT_CODES.items() for code in codes}

REPORTED = frozenset({"step-failed", "script-failed"})  # what a script reported is their value `reason`
# Messages around another error, their value `reason`.
AROUND = frozenset({"bracket-may-be-open", "jump-host-key", "jump-logon-failed", "jump-not-reached", "run-in-progress-follow"})
MOST_AROUND = 10  # messages around each other
BY_OUTCOME: Mapping[str, Kind] = {"reboot": "reboot", "stopped": "stopped"}


def of(outcome: str, detail: Mapping[str, Any]) -> Kind | None:
    """Return the kind of a host's failure, or None if the host did not fail.

    `detail` has the `code` and the `values` of the error, as summary.json has them. An error without a code that this release
    knows is internal: it arose on the workstation.
    """
    if outcome in ("ok", "differs"):
        return None
    return BY_OUTCOME.get(outcome) or of_error(detail)


def of_error(detail: Mapping[str, Any]) -> Kind:
    """Return the kind of an error, of which `detail` has the `code` and the `values`. They may be of any type: a file has them."""
    for _ in range(MOST_AROUND):
        code, values = str(detail.get("code")), detail.get("values")
        reason = values.get("reason") if isinstance(values, Mapping) else None
        if code in REPORTED:
            return BY_SCRIPT_CODE.get(str(reason.get("code")), "step") if isinstance(reason, Mapping) else "step"
        if code not in AROUND:
            return BY_CODE.get(code, "internal")
        if not isinstance(reason, Mapping):
            return BY_CODE.get(code, "step")
        detail = reason
    return "internal"
