"""The WinRM service of a Windows host in a box. Its protocol facts stand where they are used."""

from tests.boxes.winrm.certificate import Certificate, make_certificate
from tests.boxes.winrm.endpoint import Endpoint
from tests.boxes.winrm.faults import Faults

__all__ = ["Certificate", "Endpoint", "Faults", "make_certificate"]
