"""The files in ps_scripts and linux_scripts, in the order that they have in a body.

There is one body per system and scope. Files in a folder `machine` or `user` belong to the bodies of that scope, all others to both.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.render.body import Body

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

SUFFIX = {"ps_scripts": ".ps1", "linux_scripts": ".sh"}
SCOPES = ("machine", "user")

PRELUDE = {
    ("ps_scripts", "machine"): (
        "run messages hashes events findings machine/host_log kept_script envelope part_data lock paths held_files access machine/places record registry machine/registry_values machine/path_entries files "
        "state_folder removal set_aside machine/path_access machine/data_folder_names machine/data_folders first_page starter server_command left_program programs machine/openssl "
        "web_requests machine/downloads machine/sources machine/delivered_programs machine/reboots windows_version foreign_configuration machine/foreign_places package_environment "
        "machine/package_configuration machine/installer_failures machine/installers machine/msi_packages machine/bundles machine/inno_setup "
        "machine/not_found machine/tasks machine/task_states machine/closing_tasks installed_files machine/running_server machine/firewall machine/port_rules "
        "machine/services port_process machine/port_owner machine/earlier_servers machine/der certificates own_certificate "
        "machine/certificate_rules machine/certificate_sources machine/certificate_store machine/certificate_requests password_hash "
        "machine/unused_programs dropped_settings server_check host_checks machine/program_checks download_checks rotation machine/rotated_keys new_server switch way_back status server_life machine/restarted_server rollback server_secrets restored_key delivered_files notebook_files notebook_removal backup server_log evidence"
    ).split(),
    ("ps_scripts", "user"): (
        "run messages hashes events findings kept_script envelope part_data lock paths held_files access user/places record registry files state_folder removal set_aside "
        "user/data_folders first_page starter server_command left_program programs user/processes user/delivered_programs installed_files user/running_server windows_version "
        "foreign_configuration user/foreign_places package_environment user/package_configuration port_process certificates own_certificate "
        "user/certificate_program password_hash user/unused_programs dropped_settings "
        "server_check host_checks web_requests download_checks rotation user/rotated_keys new_server switch way_back status server_life user/restarted_server rollback server_secrets restored_key delivered_files notebook_files notebook_removal backup server_log evidence"
    ).split(),
    ("linux_scripts", "machine"): (
        "run machine/places json messages events findings host_log envelope lock left_program record programs paths locations folders files state_folder data_folders first_page "
        "machine/files_of_service machine/service_access machine/users machine/packages machine/apt machine/zypper units service_unit machine/service "
        "machine/firewall tls machine/certificate_program starter port disks host_checks name_resolution machine/system_checks foreign_configuration proxy "
        "installed_files installed_packages environment machine/installer_settings download_checks deliveries rotation new_server switch way_back status server_life rollback server_secrets restored_key notebook_files notebook_removal backup server_log evidence"
    ).split(),
    ("linux_scripts", "user"): (
        "run user/places json messages events findings host_log envelope lock left_program record programs paths locations folders files state_folder data_folders first_page "
        "user/service_access user/service units service_unit user/processes tls user/certificate_program starter port disks host_checks name_resolution "
        "foreign_configuration proxy installed_files installed_packages environment user/installer_settings download_checks deliveries rotation new_server switch way_back status server_life rollback server_secrets restored_key notebook_files notebook_removal backup server_log user/log_file evidence"
    ).split(),
}
STEPS = {
    ("ps_scripts", "machine"): (
        "machine/preflight machine/tls machine/ie_esc machine/python machine/vc_redist machine/openssl packages machine/certificate notebook "
        "machine/takeover machine/service machine/firewall check machine/path cleanup"
    ).split(),
    ("ps_scripts", "user"): "user/preflight user/python packages user/certificate notebook user/service check cleanup".split(),
    ("linux_scripts", "machine"): (
        "machine/preflight machine/python machine/packages machine/openssl machine/user certificate notebook machine/service machine/firewall "
        "check cleanup"
    ).split(),
    ("linux_scripts", "user"): "user/preflight user/python user/packages certificate notebook user/service check cleanup".split(),
}

_TITLE = re.compile(r"^(?:Add-Step|step) (\w+) '([^']+)'", re.MULTILINE)


@cache
def read_body(kind: str, scope: str) -> Body:
    """Return the body for the folder `kind` and the scope: prelude, steps, and main, unchanged. The files are read once."""
    steps = STEPS[kind, scope]
    names = [*(f"prelude/{name}" for name in PRELUDE[kind, scope]), *(f"steps/{name}" for name in steps), "main"]
    return Body.joined([read_part(kind, name) for name in names], [name.rpartition("/")[2] for name in steps])


def read_part(kind: str, name: str) -> str:
    """Return the text of a file, such as `prelude/files` of `ps_scripts`, with LF line endings."""
    return step_folder(kind).joinpath(f"{name}{SUFFIX[kind]}").read_bytes().decode("ascii").replace("\r\n", "\n")


def read_titles(body: Body) -> list[tuple[str, str]]:
    """Return the (name, title) of each step, in order, as the steps declare them."""
    return _TITLE.findall(body.text)


def step_folder(kind: str) -> Traversable:
    """Return the folder with the files of `kind`: in the installed package, or at the top of a checkout."""
    installed = resources.files("nbserver").joinpath(kind)
    return installed if installed.is_dir() else Path(__file__).parents[3] / kind
