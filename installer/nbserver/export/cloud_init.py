"""User data for cloud-init: the launcher with the script of a Linux host, or with the address of the script."""

from __future__ import annotations

import gzip
import shlex
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from nbserver.base.errors import UsageError
from nbserver.base.message import phrase
from nbserver.export import launcher
from nbserver.export.exported import Exported, Limit
from nbserver.settings.types import web_address

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.render.script import Script

# cloud-init needs Python itself, so every host has it; not every image has curl. Proxies of the environment apply. At the first start
# of a machine, its network or the web server may not be ready.
_FETCH = """
import http.client, sys, time, urllib.request
for pause in 5, 15, 45, 0:
    try:
        script = urllib.request.urlopen(sys.argv[1], timeout=60).read()
        break
    except (OSError, http.client.HTTPException) as error:
        print("nbserver launcher: could not fetch the script:", error, file=sys.stderr)
        time.sleep(pause)
else:
    sys.exit(1)
sys.stdout.buffer.write(script)
"""
_MARK = "file-of-the-host"  # what {file} is while the URL is checked


def checked(*, limit: int, hash_command: str, url: str) -> dict[str, Any]:
    """Return what a person has entered, with the URL in ASCII. Raises UsageError if it is not a URL."""
    try:
        found = web_address(url.replace("{file}", _MARK)).replace(_MARK, "{file}") if url else ""
    except ValueError:
        raise UsageError(
            "script-url-invalid",
            "--script-url is not a valid URL",
            todo="Specify a URL such as https://files.example.com/{example}",
            example="{file}",
        ) from None
    return {"limit": limit, "hash_command": hash_command, "url": found}


def different(url: str) -> Callable[[Iterable[Exported]], Iterator[Exported]]:
    """Return what yields the files of hosts, and raises UsageError if several hosts would fetch the script of one of them."""

    def each(files: Iterable[Exported]) -> Iterator[Exported]:
        hosts = set[str]()
        for file in files:
            hosts.add(file.host)
            if url and "{file}" not in url and len(hosts) > 1:
                raise UsageError(
                    "script-url-of-several-hosts",
                    "--script-url is the same for several hosts, but each host has its own script",
                    todo="Specify a URL such as https://files.example.com/{example}",
                    example="{file}",
                )
            yield file

    return each


def exported(host: LinuxHost, script: Script, *, limit: int, hash_command: str, url: str = "") -> list[Exported]:
    """Return the user data of a host; with `url`, where the host fetches the script, the script as well.

    User data that has more than `limit` bytes is compressed, which cloud-init undoes. Raises UsageError if it still has more.
    """
    if url:
        where = url.replace("{file}", script.file_name)
        fetch = f"python3 -c {shlex.quote(_FETCH)} {shlex.quote(where)} | gzip | base64"
        text = launcher.linux_from(script, fetch, mode="apply", hash_command=hash_command)
        data = _user_data(host, script, text, limit)
        return [data, Exported(script.file_name, script.code, host.name, script.sha256)]
    return [_user_data(host, script, launcher.linux(script, mode="apply", hash_command=hash_command), limit)]


def _user_data(host: LinuxHost, script: Script, text: bytes, limit: int) -> Exported:
    data = text if len(text) <= limit else gzip.compress(text, mtime=0)
    if len(data) > limit:
        raise UsageError(
            "user-data-too-large",
            "the user data is {size} bytes long after compression, but the limit is {limit} bytes",
            where=host.name,
            todo="Add --script-url URL so that the host fetches its script from this URL, or add --limit-bytes BYTES if your platform accepts more",
            size=len(data),
            limit=limit,
        )
    return Exported(f"{host.name}.user-data", data, host.name, script.sha256, Limit(phrase("user data"), limit))
