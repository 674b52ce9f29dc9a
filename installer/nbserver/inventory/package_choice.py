"""Which packages a host gets: the tables [packages] of all kinds of hosts have these keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from nbserver.base.message import Message, message
from nbserver.settings.refusal import refuse
from nbserver.settings.secret import SecretReference
from nbserver.settings.types import Array, ExistingFile, FilePath, Settings, unlike

REFERENCE = (
    'a reference to a secret ({ env = "NAME" }, { keyring = "NAME" }, { file = "PATH" }, { command = ["PROGRAM", "ARGUMENT"] }, '
    "or { prompt = true })"
)
LOCK_FOLDER = "nbserver.locks"


def _requirement(text: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        url = Requirement(text).url
    except InvalidRequirement:
        raise refuse("package-name-invalid", "must be a package name, optionally with a version, such as pandas or scipy==1.17.*") from None
    if url is not None:
        raise refuse("package-with-url", "must not contain a URL; upload the wheel to the package index instead")
    return text


class PackageChoice(Settings):
    include: Annotated[tuple[Annotated[str, AfterValidator(_requirement)], ...], AfterValidator(unlike), Array] = Field(
        default=(),
        title="Packages in addition to those of the notebook server; nbserver lock resolves them",
        description='an array of names such as "pandas" and "scipy==1.17.*"',
    )
    requirements: ExistingFile | None = Field(
        default=None,
        title="A file with packages in addition to those of the notebook server; nbserver lock resolves them",
        description="the path of a file with one package per line, relative to the inventory",
    )
    constraints: ExistingFile | None = Field(
        default=None,
        title="Versions that nbserver lock may choose; requires include, requirements, or set",
        description="the path of a file with one package and its versions per line, relative to the inventory",
    )
    set: Literal["science"] | None = Field(
        default=None,
        title="Packages by one word: science is SciPy, pandas, scikit-learn, ipywidgets, and Pillow",
        description='"science"',
    )
    lock_folder: FilePath = Field(
        default=LOCK_FOLDER,
        validate_default=True,
        title="Where nbserver lock writes its locks",
        description="the path of a folder, relative to the inventory",
    )
    index_user: str | None = Field(
        default=None, title="Who logs in to the package index; requires index_url and index_password", description="a user name"
    )
    index_password: SecretReference | None = Field(default=None, title="The password or token of index_user", description=REFERENCE)
    lock: ExistingFile | None = Field(
        default=None,
        title="Your own lock, which replaces the shipped one",
        description="the path of a requirements file with hashes, relative to the inventory",
    )

    @property
    def is_own(self) -> bool:
        """Return whether the packages are others than those of the shipped lock, and nbserver lock resolves them."""
        return bool(self.include or self.requirements or self.set)


_LOGIN_ALLOWED = re.compile(r"https://|http://(localhost|127\.0\.0\.1)[:/]|None$")
_OWN = ("include", "requirements", "set")


def rules(packages: Any) -> list[tuple[bool, Message]]:
    """Return whether each rule between the keys of a table [packages] is violated, and the reason."""
    table = dict(packages) if isinstance(packages, (Mapping, PackageChoice)) else {}
    own = [key for key in _OWN if table.get(key)]
    user, password, url = (table.get(key) for key in ("index_user", "index_password", "index_url"))
    return [
        (bool(user) != bool(password), message("index-login-incomplete", "index_user and index_password must be set together")),
        (bool(user) and not url, message("index-login-without-index", "packages.index_user requires packages.index_url")),
        (
            bool(user) and not _LOGIN_ALLOWED.match(str(url)),
            message("index-login-without-tls", "packages.index_user requires an https:// URL in packages.index_url"),
        ),
        (
            bool(own or table.get("lock")) and table.get("source") == "distribution",
            message(
                "lock-with-distribution",
                '{key} cannot be combined with source = "distribution"; remove one of them',
                key=", ".join(own or ["lock"]),
            ),
        ),
        (
            bool(own) and bool(table.get("lock")),
            message("lock-with-packages", "lock cannot be combined with {keys}; use one or the other", keys=", ".join(own)),
        ),
        (
            not own and bool(table.get("constraints")),
            message(
                "constraints-without-packages", "packages.constraints requires packages.include, packages.requirements, or packages.set"
            ),
        ),
    ]
