"""What a story does with a server that is set up: stop, restart, and what comes between."""

from __future__ import annotations

import requests

from tests.linux.story import Story


def live(story: Story) -> None:
    """Stops the server over a restart of the host's systemd units, and starts it again."""
    story.nbserver("stopped", "stop", "--json")
    story.see("units while stopped", "systemctl is-enabled nbserver; systemctl is-active nbserver")
    story.seen["answer while stopped"] = answer(story)
    story.nbserver("plan while stopped", "plan")
    story.nbserver("status while stopped", "status", "--json")
    story.nbserver("restarted", "restart", "--json")
    story.see("units after restart", "systemctl is-enabled nbserver; systemctl is-active nbserver")
    story.nbserver("plan after restart", "plan")


def answer(story: Story) -> str:
    try:
        return str(requests.get(story.url, timeout=60, verify=False).status_code)
    except requests.RequestException:
        return "none"
