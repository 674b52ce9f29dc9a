"""What the endpoint gets wrong on purpose."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass
class Faults:
    """Set the fields at any time. Counts are consumed; None and 0 are off.

    `drop_responses` carries a request out and loses its answer: the output of a lost Receive is gone, unless the client
    repeats the very same message.
    """

    drop_after_receives: int | None = None  # after N answered Receives: close instead of answering, once; nothing is lost
    drop_requests: int = 0  # close the connection without an answer on the next N requests
    drop_responses: int = 0  # carry out the next N requests, then close without answering
    halve_responses: int = 0  # carry out the next N requests, then close in the middle of their answers
    status_401: int = 0  # answer 401 to the next N requests
    status_503: int = 0  # answer 503 to the next N requests
    slow: float = 0.0  # seconds before every answer
    slow_next: int = 0  # only the next N answers are slow (0: all, when slow is set)
    kill_after_receives: int | None = None  # after N answered Receives: kill every engine
    reboot_after_receives: int | None = None  # after N answered Receives: reboot(reboot_seconds)
    reboot_seconds: float = 5.0
    match: str = ""  # only requests whose Action ends with this (drop_*, halve_*, status_*)
    receives: int = 0  # Receives answered so far
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def use(self, name: str, action: str = "") -> bool:
        """Consumes one of the count `name`; True if there was one and the action matches."""
        with self.lock:
            if self.match and not action.endswith(self.match):
                return False
            count = int(getattr(self, name))
            if count:
                setattr(self, name, count - 1)
            return count > 0

    def reached(self, name: str) -> bool:
        """True once, when as many Receives as the field `name` says were answered; switches the field off."""
        with self.lock:
            after = getattr(self, name)
            if after is None or self.receives < after:
                return False
            setattr(self, name, None)
            return True

    def answered_receive(self) -> None:
        with self.lock:
            self.receives += 1
