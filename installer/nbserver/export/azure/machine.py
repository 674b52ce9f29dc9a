"""The virtual machine, and the managed Run Command that runs the script of the host on it."""

from __future__ import annotations

from typing import Any

from nbserver.export.azure.network import LOCATION, resource_id

API = "2024-11-01"
_MACHINE = "[resourceId('Microsoft.Compute/virtualMachines', parameters('vmName'))]"
IMAGES = {
    "windows-2022": ("MicrosoftWindowsServer", "WindowsServer", "2022-datacenter-g2"),
    "windows-2025": ("MicrosoftWindowsServer", "WindowsServer", "2025-datacenter-g2"),
    "ubuntu-24.04": ("Canonical", "ubuntu-24_04-lts", "server"),
    "sles-15-sp7": ("SUSE", "sles-15-sp7", "gen2"),
    "opensuse-15.6": ("SUSE", "opensuse-leap-15-6", "gen2"),
}
"""Publisher, offer, and SKU of images of generation 2, as Trusted Launch requires."""

ENDED = {"opensuse-15.6": "2026-04-30"}
"""Images of releases that get no more fixes, and since when: https://endoflife.date/opensuse."""

NAMES = {
    "windows": {"mode": "Mode", "run": "Run", "secret": "Encoded"},
    "linux": {"mode": "NBSERVER_MODE", "run": "NBSERVER_RUN", "secret": "NBSERVER_PASSWORD_HASH"},
}
"""What the launcher of a system calls its inputs: parameters on Windows, environment variables on Linux."""

LONGEST = 5_100
"""The maximum number of seconds for the script: a deployment waits 90 minutes for it, of which the agent of the machine needs some.

https://learn.microsoft.com/azure/virtual-machines/windows/run-command-managed has 90 minutes as the default of a command that is waited for.
"""


def image(name: str) -> dict[str, str]:
    """Return the reference to an image of the marketplace."""
    publisher, offer, sku = IMAGES[name]
    return {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"}


def resources(system: str, launched: str, seconds: int, *, trusted: bool) -> list[dict[str, Any]]:
    """Return the virtual machine and the Run Command. `launched` is the text that it runs; it is stopped after `seconds`, or LONGEST."""
    return [_machine(system, trusted), _run_command(system, launched, seconds)]


def _machine(system: str, trusted: bool) -> dict[str, Any]:
    launch = {"securityType": "TrustedLaunch", "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True}}
    disk = {
        "createOption": "FromImage",
        "deleteOption": "Delete",
        "caching": "ReadWrite",
        "diskSizeGB": "[parameters('diskSizeGB')]",
        "managedDisk": {"storageAccountType": "[parameters('diskType')]"},
    }
    interface = {"id": resource_id("networkInterfaces", "nic"), "properties": {"primary": True, "deleteOption": "Delete"}}
    properties = {
        "hardwareProfile": {"vmSize": "[parameters('vmSize')]"},
        "storageProfile": {"imageReference": "[parameters('image')]", "osDisk": disk},
        "osProfile": {
            "computerName": "[parameters('vmName')]",
            "adminUsername": "[parameters('adminUser')]",
            **(_windows_profile() if system == "windows" else _linux_profile()),
        },
        "securityProfile": {**(launch if trusted else {}), "encryptionAtHost": "[parameters('encryptionAtHost')]"},
        "networkProfile": {"networkInterfaces": [interface]},
        "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
    }
    return {
        "type": "Microsoft.Compute/virtualMachines",
        "apiVersion": API,
        "name": "[parameters('vmName')]",
        "location": LOCATION,
        "dependsOn": [resource_id("networkInterfaces", "nic")],
        "properties": properties,
    }


def _windows_profile() -> dict[str, Any]:
    return {
        "adminPassword": "[parameters('adminPassword')]",
        "windowsConfiguration": {"provisionVMAgent": True, "enableAutomaticUpdates": True},
    }


def _linux_profile() -> dict[str, Any]:
    key = {
        "path": "[concat('/home/', parameters('adminUser'), '/.ssh/authorized_keys')]",
        "keyData": "[parameters('adminPublicKey')]",
    }
    return {
        "linuxConfiguration": {
            "provisionVMAgent": True,
            "disablePasswordAuthentication": True,
            "ssh": {"publicKeys": [key]},
        }
    }


def _run_command(system: str, launched: str, seconds: int) -> dict[str, Any]:
    names = NAMES[system]
    secret = "parameters('notebookPasswordHash')"
    if system == "windows":
        # The agent joins the values to a command line without quotes: it must not see a $ or a comma, or no value at all.
        secret = f"if(empty({secret}), 'none', base64({secret}))"
    properties = {
        "source": {"script": launched},
        "parameters": [
            {"name": names["mode"], "value": "[parameters('mode')]"},
            {"name": names["run"], "value": "[parameters('run')]"},
        ],
        "protectedParameters": [{"name": names["secret"], "value": f"[{secret}]"}],
        "asyncExecution": False,
        "timeoutInSeconds": min(seconds, LONGEST),
        "treatFailureAsDeploymentFailure": True,
    }
    return {
        "type": "Microsoft.Compute/virtualMachines/runCommands",
        "apiVersion": API,
        "name": "[concat(parameters('vmName'), '/nbserver')]",
        "location": LOCATION,
        "dependsOn": [_MACHINE],
        "properties": properties,
    }
