"""What a story does with a server that is set up: stop, restart, another password, another certificate."""

from __future__ import annotations

import warnings

import requests
from urllib3.exceptions import InsecureRequestWarning

from tests.linux.story import Story, logged_in, password


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
    replace_secrets(story)


def replace_secrets(story: Story) -> None:
    """Sets another password, and then another certificate; each time, keeps who may still list the kernels."""
    former = story.site.secrets["NOTEBOOK_PASSWORD"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureRequestWarning)
        session = logged_in(story.url, former)
        statuses = [kernels(story, session)]
        story.site.secrets["NOTEBOOK_PASSWORD"] = password()
        story.nbserver("password set", "set-password", "--json")
        new = logged_in(story.url, story.site.secrets["NOTEBOOK_PASSWORD"])
        statuses += [kernels(story, one) for one in (session, logged_in(story.url, former), new)]
        story.nbserver("password set again", "set-password", "--json")
        story.nbserver("certificate rotated", "rotate-certificate", "--json")
        statuses.append(kernels(story, new))
    story.seen["who may list kernels"] = " ".join(map(str, statuses))
    story.nbserver("verify rotated certificate", "verify", "--json")
    story.nbserver("plan after rotation", "plan")


def kernels(story: Story, session: requests.Session) -> int:
    return session.get(f"{story.url}/api/kernels", timeout=60).status_code


def answer(story: Story) -> str:
    try:
        return str(requests.get(story.url, timeout=60, verify=False).status_code)
    except requests.RequestException:
        return "none"
