"""Types of options: how long an approval is valid, names in a list, and where a passphrase is."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
LONGEST = timedelta(days=366)


class Period(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A number of hours, days, or weeks, such as 30d."""

    name = "period"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([1-9][0-9]{0,3})([hdw])", value, re.ASCII)
        period = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
        if period is None or period > LONGEST:
            self.fail("must be a number of hours, days, or weeks of at most 366 days, such as 30d", param, ctx)
        return period


class Names(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Names separated by commas."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        found = tuple(part.strip() for part in value.split(","))
        if not all(found):
            self.fail("must be names separated by commas", param, ctx)
        return found


class Reference(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A reference to a secret, such as env=NAME: where it is, never the secret itself."""

    name = "reference"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from pydantic import ValidationError

        from nbserver.settings.secret import SecretReference, parts_of_option

        place, rest = parts_of_option(value)
        try:
            return SecretReference.model_validate({place: rest}, context={"folder": Path.cwd()})
        except ValidationError:
            self.fail("must be env=NAME, keyring=NAME, or file=PATH", param, ctx)
