"""The WinRM service of a Windows host in a box. Its protocol facts stand where they are used."""

from tests.hosts.winrm.certificate import Certificate, make_certificate
from tests.hosts.winrm.endpoint import Endpoint
from tests.hosts.winrm.faults import Faults

__all__ = ["Certificate", "Endpoint", "Faults", "make_certificate"]
