"""The template for Azure: valid by Microsoft's schemas, without secrets, and refused where settings are missing."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from nbserver.base.errors import InventoryError, UsageError
from nbserver.export.azure import machine, template
from nbserver.export.exported import Exported
from nbserver.inventory.linux_host import LinuxHost
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.inventory.windows_host import WindowsHost
from nbserver.render.render import render_each
from nbserver.render.script import Script
from tests.azure_deployment import evaluated
from tests.checkout import CHECKOUT
from tests.unit.export.unpacked import unpacked

VARIABLE = "NBSERVER_TEST_AZURE_SCHEMAS"
TEMPLATES = "2019-04-01-deploymentTemplate.json"
RESOURCES = ("2024-11-01-Microsoft.Compute.json", "2025-05-01-Microsoft.Network.NRP.json")
VAULT = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/site/providers/Microsoft.KeyVault/vaults/site-vault"
AZURE = {"location": "westeurope", "dns_label": "win1-notebook", "sources": ["192.0.2.0/24", "198.51.100.7"]}
NOTEBOOK = {"password": {"env": "NOTEBOOK_PASSWORD"}, "public_url": "https://win1-notebook.westeurope.cloudapp.azure.com"}


def host(system: str, azure: dict[str, Any] | None = None, **more: Any) -> WindowsHost | LinuxHost:
    given = {"name": "win1", "system": system, "address": "win1.example.com", "notebook": NOTEBOOK, "azure": {**AZURE, **(azure or {})}}
    if system == "linux":
        return LinuxHost.model_validate({**given, "user": "anna", **more})
    return WindowsHost.model_validate({**given, **more})


def export(one: Any, script: Script) -> list[Exported]:
    return template.linux(one, script) if isinstance(one, LinuxHost) else template.windows(one, script)


@cache
def exported(system: str) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """The template, the file with its parameters, and the script of a host."""
    one = host(system, {"key_vault": VAULT})
    ((script, _),) = render_each([one])
    first, second = export(one, script)
    return json.loads(first.data), json.loads(second.data), script


def run_command(found: dict[str, Any]) -> dict[str, Any]:
    (resource,) = (one for one in found["resources"] if one["type"].endswith("/runCommands"))
    return dict(resource["properties"])


@pytest.fixture(scope="session")
def schemas() -> dict[str, Any]:
    """The schemas by file name; a definition refuses keys that it does not have, which Microsoft's leave open."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"this needs {VARIABLE}: the folder with Microsoft's schemas of templates")
    found = {path.name: json.loads(path.read_text("utf-8")) for path in Path(folder).glob("*.json")}
    for name in RESOURCES:
        for definition in found[name]["definitions"].values():
            if definition.get("properties"):
                definition.setdefault("additionalProperties", False)
    kinds = [{"$ref": f"{found[name]['id'].rstrip('#')}#/resourceDefinitions/{kind}"} for name in RESOURCES for kind in _kinds(name)]
    base = {"$ref": f"{found[TEMPLATES]['id'].rstrip('#')}#/definitions/resourceBase"}
    found[TEMPLATES]["definitions"]["resource"] = {"allOf": [base, {"oneOf": kinds}]}
    return found


def _kinds(name: str) -> tuple[str, ...]:
    if "Compute" in name:
        return ("virtualMachines", "virtualMachines_runCommands")
    return ("loadBalancers", "networkSecurityGroups", "publicIPAddresses", "virtualNetworks", "networkInterfaces")


def faults(schemas: dict[str, Any], found: dict[str, Any]) -> list[str]:
    registry: Registry[Any] = Registry().with_resources(
        (schema["id"].rstrip("#"), Resource.from_contents(schema)) for schema in schemas.values()
    )
    kind = jsonschema.validators.validator_for(schemas[TEMPLATES])
    return [str(error.message)[:300] for error in kind(schemas[TEMPLATES], registry=registry).iter_errors(found)]


@pytest.mark.parametrize("system", ["windows", "linux"])
def test_the_template_is_valid(schemas: dict[str, Any], system: str) -> None:
    assert faults(schemas, exported(system)[0]) == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("loadBalancers", "inboundNatRules/0/properties/frontendPrt", 443),
        ("networkSecurityGroups", "securityRules/0/properties/access", "Permit"),
        ("runCommands", "protectedParameters/0/secret", "x"),
        ("virtualMachines", "securityProfile/securityType", "Trusted"),
    ],
)
def test_the_schemas_would_find_a_mistake(schemas: dict[str, Any], kind: str, path: str, value: object) -> None:
    found = json.loads(json.dumps(exported("linux")[0]))
    (resource,) = (one for one in found["resources"] if one["type"].endswith(f"/{kind}"))
    place = resource["properties"]
    *above, last = path.split("/")
    for part in above:
        place = place[int(part)] if part.isdigit() else place[part]
    place[last] = value
    assert faults(schemas, found)


@pytest.mark.parametrize("system", ["windows", "linux"])
def test_it_carries_the_script_and_says_its_hash(system: str) -> None:
    found, _, script = exported(system)
    properties = run_command(found)
    assert unpacked(properties["source"]["script"]) == script.code
    assert found["outputs"]["scriptSha256"]["value"] == script.sha256
    assert [one["name"] for one in properties["protectedParameters"]] == [machine.NAMES[system]["secret"]]


@pytest.mark.parametrize("trusted", [True, False])
def test_an_image_without_trusted_launch_can_be_chosen(schemas: dict[str, Any], trusted: bool) -> None:
    _, _, script = exported("linux")
    found = json.loads(export(host("linux", {"trusted_launch": trusted, "image": "opensuse-15.6"}), script)[0].data)
    (created,) = (one["properties"] for one in found["resources"] if one["type"].endswith("/virtualMachines"))
    assert set(created["securityProfile"]) == {"encryptionAtHost", *(["securityType", "uefiSettings"] if trusted else [])}
    assert faults(schemas, found) == []


def test_an_image_without_fixes_is_a_warning() -> None:
    said = template.warning(host("linux", {"image": "opensuse-15.6"}))
    assert said and "no fixes since 2026-04-30. Set azure.image to another image" in str(said)
    assert template.warning(host("linux")) is None and template.warning(LocalLinuxHost()) is None


@pytest.mark.parametrize("encrypted", [True, False])
def test_the_template_keeps_the_encryption_of_the_inventory(encrypted: bool) -> None:
    """Azure refuses to change it at a running machine, so a second deployment must not depend on what somebody typed at the first."""
    _, _, script = exported("linux")
    found = json.loads(export(host("linux", {"encryption_at_host": encrypted}), script)[0].data)
    assert found["parameters"]["encryptionAtHost"]["defaultValue"] is encrypted


def test_the_commands_of_the_page_set_no_parameter() -> None:
    """A deployment without such a parameter would then be another one."""
    page = (CHECKOUT / "docs/export.md").read_text("utf-8")
    commands = re.findall(r"az deployment group create .*", page)
    assert commands and re.findall(r"--parameters (?!\S+\.json\b)\S+", "\n".join(commands)) == []
    assert "=false`" not in page and "vmName=" not in page


@pytest.mark.parametrize(("given", "limit"), [({}, 5_100), ({"timeout": 600}, 600)])
def test_the_script_is_stopped_before_azure_gives_up(given: dict[str, Any], limit: int) -> None:
    """After 90 minutes, the deployment would fail while the script runs on, and hold the lock against the next one."""
    _, _, script = exported("linux")
    found = json.loads(export(host("linux", **given), script)[0].data)
    assert run_command(found)["timeoutInSeconds"] == limit


@pytest.mark.parametrize("secret", ["argon2:$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA/b+c", ""])
def test_a_hash_survives_a_command_line_without_quotes(secret: str) -> None:
    """Microsoft's page shows one for Windows. On Linux, it is an environment variable."""
    for system in ("windows", "linux"):
        (one,) = run_command(exported(system)[0])["protectedParameters"]
        value = evaluated(one["value"], {"notebookPasswordHash": secret})
        assert value == secret if system == "linux" else re.fullmatch("[A-Za-z0-9+/=]+", value)


@pytest.mark.parametrize("system", ["windows", "linux"])
def test_it_admits_named_sources_to_the_private_port_only(system: str) -> None:
    found, _, _ = exported(system)
    admit, refuse = next(one for one in found["resources"] if one["type"].endswith("networkSecurityGroups"))["properties"]["securityRules"]
    assert (admit["properties"]["destinationPortRange"], admit["properties"]["access"]) == ("9999", "Allow")
    assert admit["properties"]["sourceAddressPrefixes"] == "[parameters('allowedSources')]"
    assert found["parameters"]["allowedSources"]["defaultValue"] == AZURE["sources"]
    assert refuse["properties"]["access"] == "Deny" and refuse["properties"]["destinationPortRange"] == "*"
    balancer = next(one for one in found["resources"] if one["type"].endswith("loadBalancers"))["properties"]
    (rule,) = balancer["inboundNatRules"]
    assert (rule["properties"]["frontendPort"], rule["properties"]["backendPort"]) == (443, 9999)
    assert balancer["outboundRules"], "a new virtual network has no other way to the Internet"


@pytest.mark.parametrize("system", ["windows", "linux"])
def test_each_reference_leads_to_a_resource_before_it(system: str) -> None:
    found, _, _ = exported(system)
    before: set[str] = set()
    for resource in found["resources"]:
        kind = resource["type"]
        for needed in resource.get("dependsOn", ()):
            assert needed in before, f"{kind} needs {needed}"
        name = resource["name"].removeprefix("[").removesuffix("]")
        before.add(f"[resourceId('{kind}', {name})]")


def test_secrets_are_parameters_without_values() -> None:
    for system in ("windows", "linux"):
        found, parameters, _ = exported(system)
        secure = {name for name, one in found["parameters"].items() if one["type"] == "securestring"}
        assert secure == {"notebookPasswordHash", *(["adminPassword"] if system == "windows" else [])}
        assert not any("defaultValue" in found["parameters"][name] for name in secure)
        assert parameters["parameters"]["notebookPasswordHash"] == {
            "reference": {"keyVault": {"id": VAULT}, "secretName": "notebook-password-hash"}
        }


@pytest.mark.parametrize(
    ("system", "azure", "more", "words"),
    [
        ("windows", {"location": None, "sources": []}, {}, r"win1: the host lacks required settings: azure.location, azure.sources"),
        ("windows", {"dns_label": "other"}, {}, r'Set notebook.public_url = "https://other.westeurope.cloudapp.azure.com"'),
        ("windows", {"image": "ubuntu-24.04"}, {}, 'azure.image is "ubuntu-24.04", but the host has system = "windows"'),
        ("windows", {"image": "windows-2022"}, {"windows": "2025"}, 'is "windows-2022", which is older than windows = "2025"'),
        ("windows", {"image": "windows-2022"}, {"windows": "11"}, 'is "windows-2022", which is older than windows = "11"'),
        ("windows", {"disk_size": 64}, {}, "azure.disk_size is 64 GB, which is too small for Windows. Set azure.disk_size to at least 127"),
        ("linux", {}, {"architecture": "arm64"}, 'architecture = "arm64"'),
        ("linux", {"sources": ["2001:db8::/32"]}, {}, "azure.sources contains an IPv6 address"),
    ],
)
def test_what_cannot_be_created_is_refused(system: str, azure: dict[str, Any], more: dict[str, Any], words: str) -> None:
    one = host(system, azure, **more)
    _, _, script = exported(system)
    with pytest.raises(InventoryError) as caught:
        export(one, script)
    assert words in str(caught.value)


def test_an_image_that_is_newer_than_the_inventory_says_is_exported() -> None:
    _, _, script = exported("windows")
    for azure, windows in (({"image": "windows-2022"}, "2022"), ({"image": "windows-2025"}, "2022"), ({}, "11"), ({}, "2025")):
        assert export(host("windows", azure, windows=windows), script)


@pytest.mark.parametrize(
    "azure",
    [
        {"location": "West Europe"},
        {"dns_label": "-a"},
        {"sources": ["Any"]},
        {"sources": ["0.0.0.0/0"]},
        {"size": "a'b"},
        {"admin_user": "administrator"},
        {"admin_user": "admin1"},
        {"admin_user": "a'); x"},
        {"key_vault": "https://site-vault.vault.azure.net/"},
        {"key_vault_secret": "a b"},
        {"image": "debian"},
    ],
)
def test_what_azure_would_refuse_is_refused_before(azure: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(azure))):
        host("linux", azure)


@pytest.mark.parametrize(
    ("location", "domain"),
    [
        ("usgovvirginia", "cloudapp.usgovcloudapi.net"),
        ("usdodeast", "cloudapp.usgovcloudapi.net"),
        ("chinanorth3", "cloudapp.chinacloudapi.cn"),
        ("uswest", "cloudapp.azure.com"),
    ],
)
def test_other_clouds_have_other_public_names(location: str, domain: str) -> None:
    """The certificate is for this name."""
    one = host("linux", {"location": location}, notebook={**NOTEBOOK, "public_url": f"https://win1-notebook.{location}.{domain}"})
    _, _, script = exported("linux")
    assert export(one, script)
    one = host("linux", {"location": location}, notebook={**NOTEBOOK, "public_url": f"https://win1-notebook.{location}.cloudapp.example"})
    with pytest.raises(InventoryError, match=f"win1-notebook.{location}.{domain}"):
        export(one, script)


def test_two_hosts_are_not_the_same_machine() -> None:
    """The deployment of the second one would change the machine of the first."""
    _, _, script = exported("linux")
    files = [file for name in ("web.1", "web-1") for file in export(host("linux", name=name), script)]
    with pytest.raises(UsageError, match=r"web-1: the name of the virtual machine would be web-1, as for the host web\.1"):
        list(template.different(files))
    assert list(template.different(files[:2])) == files[:2]


def test_a_number_is_no_name_of_a_machine_with_windows() -> None:
    for system, expected in (("windows", "nb-2024"), ("linux", "2024")):
        _, _, script = exported(system)
        found = json.loads(export(host(system, name="2024"), script)[1].data)
        assert found["parameters"]["vmName"]["value"] == expected


def test_the_name_of_the_machine_fits_windows_and_is_that_of_no_other_host() -> None:
    names = []
    for name in ("notebooks-win-01", "notebooks-win-02", "a_name.of-a-host"[:15]):
        one = host("windows", name=name)
        ((script, _),) = render_each([one])
        names.append(json.loads(export(one, script)[0].data)["parameters"]["vmName"]["defaultValue"])
    assert re.fullmatch("notebooks-[0-9a-f]{4}", names[0]) and re.fullmatch("notebooks-[0-9a-f]{4}", names[1])
    assert len(set(names)) == 3 and names[2] == "a-name-of-a-hos"
