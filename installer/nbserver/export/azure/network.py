"""The network of the virtual machine: who may reach it, from where, and how it reaches the Internet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

API = "2025-05-01"
PUBLIC_PORT = 443
LOCATION = "[parameters('location')]"
_SUBNET = "notebooks"
_FRONTEND, _POOL, _RULE = "public", "server", "https"


def resources(port: int) -> list[dict[str, Any]]:
    """Return the network security group, network, public address, load balancer, and network interface, in the order of creation.

    `port` is the port of the notebook server on the virtual machine. The names come from the parameter `vmName`.
    """
    return [_security_group(port), _network(), _public_address(), _load_balancer(port), _interface()]


def name(kind: str) -> str:
    """Return the expression for the name of a resource."""
    return f"[concat(parameters('vmName'), '-{kind}')]"


def resource_id(kind: str, suffix: str, *below: str) -> str:
    """Return the expression for the ID of a resource with the suffix in its name, or of a part of it."""
    parts = "".join(f", '{part}'" for part in below)
    return f"[resourceId('Microsoft.Network/{kind}', concat(parameters('vmName'), '-{suffix}'){parts})]"


def _resource(kind: str, suffix: str, properties: dict[str, Any], depends: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    found = {"type": f"Microsoft.Network/{kind}", "apiVersion": API, "name": name(suffix), "location": LOCATION, **more}
    return {**found, **({"dependsOn": list(depends)} if depends else {}), "properties": properties}


def _security_group(port: int) -> dict[str, Any]:
    """The group sees the port of the server, not the public one: the load balancer has translated it before."""
    any_address = {"sourcePortRange": "*", "destinationAddressPrefix": "*", "direction": "Inbound"}
    admit = {
        "description": "Named sources may reach the notebook server, on the port after translation",
        "protocol": "Tcp",
        "sourceAddressPrefixes": "[parameters('allowedSources')]",
        "destinationPortRange": str(port),
        "access": "Allow",
        "priority": 100,
    }
    refuse = {
        "description": "Nothing else, not even from the same virtual network",
        "protocol": "*",
        "sourceAddressPrefix": "*",
        "destinationPortRange": "*",
        "access": "Deny",
        "priority": 4096,
    }
    rules = [
        {"name": "notebook", "properties": {**admit, **any_address}},
        {"name": "nothing-else", "properties": {**refuse, **any_address}},
    ]
    return _resource("networkSecurityGroups", "nsg", {"securityRules": rules})


def _network() -> dict[str, Any]:
    group = resource_id("networkSecurityGroups", "nsg")
    subnet = {
        "addressPrefix": "10.0.0.0/28",
        "defaultOutboundAccess": False,
        "networkSecurityGroup": {"id": group},
    }
    properties = {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/24"]},
        "subnets": [{"name": _SUBNET, "properties": subnet}],
    }
    return _resource("virtualNetworks", "vnet", properties, [group])


def _public_address() -> dict[str, Any]:
    properties = {
        "publicIPAddressVersion": "IPv4",
        "publicIPAllocationMethod": "Static",
        "idleTimeoutInMinutes": 30,
        "dnsSettings": {"domainNameLabel": "[parameters('dnsLabel')]"},
    }
    return _resource("publicIPAddresses", "ip", properties, sku={"name": "Standard"})


def _load_balancer(port: int) -> dict[str, Any]:
    address = resource_id("publicIPAddresses", "ip")
    frontend = {"id": resource_id("loadBalancers/frontendIPConfigurations", "lb", _FRONTEND)}
    pool = {"id": resource_id("loadBalancers/backendAddressPools", "lb", _POOL)}
    inbound = {
        "frontendIPConfiguration": frontend,
        "protocol": "Tcp",
        "frontendPort": PUBLIC_PORT,
        "backendPort": port,
        "idleTimeoutInMinutes": 30,
        "enableTcpReset": True,
    }
    outbound = {
        "frontendIPConfigurations": [frontend],
        "backendAddressPool": pool,
        "protocol": "All",
        "allocatedOutboundPorts": 1024,
        "idleTimeoutInMinutes": 4,
        "enableTcpReset": True,
    }
    properties = {
        "frontendIPConfigurations": [{"name": _FRONTEND, "properties": {"publicIPAddress": {"id": address}}}],
        "backendAddressPools": [{"name": _POOL}],
        "inboundNatRules": [{"name": _RULE, "properties": inbound}],
        "outboundRules": [{"name": "internet", "properties": outbound}],
    }
    return _resource("loadBalancers", "lb", properties, [address], sku={"name": "Standard"})


def _interface() -> dict[str, Any]:
    configuration = {
        "primary": True,
        "privateIPAllocationMethod": "Dynamic",
        "subnet": {"id": resource_id("virtualNetworks/subnets", "vnet", _SUBNET)},
        "loadBalancerBackendAddressPools": [{"id": resource_id("loadBalancers/backendAddressPools", "lb", _POOL)}],
        "loadBalancerInboundNatRules": [{"id": resource_id("loadBalancers/inboundNatRules", "lb", _RULE)}],
    }
    properties = {"enableIPForwarding": False, "ipConfigurations": [{"name": "server", "properties": configuration}]}
    return _resource("networkInterfaces", "nic", properties, [resource_id("virtualNetworks", "vnet"), resource_id("loadBalancers", "lb")])
