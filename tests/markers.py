"""What a test needs, by the folder or file it is in: `pytest -m unit`, `pytest -m "not pwsh"`."""

from __future__ import annotations

# The longest beginning of a path below tests/ decides.
MARKERS: dict[str, tuple[str, ...]] = {
    "": (),
    "boxes/": ("pwsh",),
    "boxes/test_linux.py": ("root",),
    "boxes/test_parts.py": (),
    "cluster/": (),
    "faults/": ("pwsh",),
    "faults/test_bundle_disk.py": ("root",),
    "faults/test_linux.py": ("root",),
    "faults/test_linux_installation.py": ("root",),
    "faults/test_real_fleet.py": ("root",),
    "faults/test_ssh.py": ("root",),
    "powershell/": ("pwsh",),
    "steps/linux/": ("root",),
    "steps/windows/": ("pwsh",),
    "stories/": ("pwsh",),
    "stories/test_browser.py": ("browser",),
    "stories/test_export.py": ("root",),
    "stories/test_linux.py": ("root", "browser"),
    "stories/test_local_debian.py": ("root",),
    "stories/test_mirror.py": ("root",),
    "stories/test_windows_mirror.py": ("pwsh",),
    "stories/test_windows.py": ("pwsh", "browser"),
    "transports/test_local_windows.py": ("pwsh",),
    "transports/test_ssh.py": ("root",),
    "transports/test_ssh_on_windows.py": ("pwsh", "root"),
    "transports/test_ssh_sudo.py": ("root",),
    "test_report_page.py": ("browser",),
    "test_review_page.py": ("browser",),
    "transports/test_windows_ssh.py": ("pwsh",),
    "transports/test_winrm.py": ("pwsh",),
    "unit/": ("unit",),
}


def markers_of(path: str) -> tuple[str, ...]:
    """The markers of a test file; `path` is below tests/, with slashes."""
    return MARKERS[max((start for start in MARKERS if path.startswith(start)), key=len)]
