"""Whether the files that hosts will download are still where the catalog says. Publishers remove old releases."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nbserver.base.message import Message, notice
from nbserver.catalog.choice import PROGRAMS

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.run.result import Result

SECONDS = 5.0  # for all files: an answer is a favor, and a plan does not wait for it
GONE = (404, 410)


def moved(hosts: Sequence[AnyHost], results: Mapping[str, Result]) -> list[Message]:
    """Return a warning for each file that a host would download but that its server no longer has.

    Only steps that differ are asked about, and not for hosts that get their files from the workstation. A file of which one source is there is not gone. No answer is no warning: the workstation may not reach what the host reaches.
    """
    from nbserver.render import render

    steps = {name: result.steps for name, result in results.items()}
    asking = [host for host in hosts if host.downloads.source != "push"]
    differing = [host for host in asking if "differs" in (steps.get(host.name, {}).get(name) for name in PROGRAMS)]
    wanted: dict[tuple[str, ...], tuple[str, str, list[str]]] = {}
    for script, _ in render.render_all(differing):
        for name, title in PROGRAMS.items():
            download = script.settings.get(name)
            if isinstance(download, dict) and download.get("url") and steps[script.host].get(name) == "differs":
                urls = tuple(str(source["url"]) for source in (download, *download.get("sources", ())))
                wanted.setdefault(urls, (title, str(download["version"]), []))[2].append(script.host)
    statuses = _ask([url for urls in wanted for url in urls])
    return [
        notice(
            "download-moved",
            "{program} {version} is no longer at {url} (HTTP {status}), so apply will fail on {hosts}. Create a site catalog with newer "
            "versions: run nbserver catalog update -o site-catalog.toml, then set catalog in the inventory",
            program=title,
            version=version,
            url=urls[0],
            status=statuses[urls[0]],
            hosts=", ".join(names[:5]) + (", ..." if len(names) > 5 else ""),
        )
        for urls, (title, version, names) in wanted.items()
        if all(statuses.get(url) in GONE for url in urls)
    ]


def _ask(urls: Sequence[str]) -> dict[str, int]:
    """Return the status of each URL that answers within the time. The threads do not keep the process alive."""
    statuses: dict[str, int] = {}
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=_head, args=(url, statuses), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return dict(statuses)


def _head(url: str, statuses: dict[str, int]) -> None:
    import requests

    from nbserver.base.pinned_tls import SystemTrustAdapter

    with requests.Session() as session:
        session.trust_env = False  # no credentials from ~/.netrc
        session.mount("https://", SystemTrustAdapter())
        try:
            answer = session.head(url, timeout=SECONDS, allow_redirects=True, proxies=requests.utils.get_environ_proxies(url))
        except (OSError, ValueError):  # requests' own errors are OSError
            return
        statuses[url] = answer.status_code
