"""Render an HTML page that loads nothing: its style and its script are in it, and its policy allows only these two."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from nbserver import __version__
from nbserver.language.language import ENGLISH, Language

PACKAGE = "pages"  # of the files that all pages share


def rendered(
    package: str,
    title: str,
    sections: Sequence[tuple[str, str]],
    values: Mapping[str, Any],
    *,
    script: bool = True,
    pictures: bool = False,
    template: str = "page",
    language: Language = ENGLISH,
) -> str:
    """Return a page of a package of nbserver, which has a page.css and, for this page, TEMPLATE.html.jinja. Everything in `values` is escaped.

    `sections` are the anchors and titles of the table of contents, and `language` is that of the page. With `script`, the page has the filter for hosts.
    With `pictures`, it may have pictures as data.
    """
    css = text_file(PACKAGE, "page.css") + text_file(package, "page.css")
    js = text_file(PACKAGE, "page.js") if script else ""
    layout = {"layout": text_file(PACKAGE, "layout.html.jinja"), "page": text_file(package, f"{template}.html.jinja")}
    environment: Any = Environment(
        loader=DictLoader(layout),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(language.template, language.template_for, newstyle=True)
    environment.filters |= {"ascii": ascii_text, "tojson_ascii": json.dumps, "word": language.word, "joined": language.joined}
    allowed = [f"style-src {_source(css)}", f"script-src {_source(js)}", *(["img-src data:"] if pictures else [])]
    shared = {
        "release": __version__,
        "language": language.code,
        "say": language.render,
        "word": language.word,
        "title": title,
        "sections": sections,
        "css": Markup(css),
        "js": Markup(js),
        "policy": f"default-src 'none'; {'; '.join(allowed)}; base-uri 'none'; form-action 'none'",
    }
    return str(environment.get_template("page").render({**values, **shared}))


def ascii_text(text: str) -> str:
    """Return the text with escapes for characters that are not ASCII, which may look like others."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def text_file(package: str, name: str) -> str:
    """Return a text file of a package of nbserver."""
    return importlib.resources.files("nbserver").joinpath(package, name).read_text("utf-8").replace("\r\n", "\n")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}'"
