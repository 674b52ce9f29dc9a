"""What is English in a text that should be in another language. Names, paths, code, and values in quotes may be."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser

from nbserver.base.message import PLACEHOLDER
from tests.checkout import CHECKOUT
from tools import translation_catalogs as catalogs

LEAST = 3  # words of a template between two values
# Words without which English has few sentences. Those that French has as well are left out.
FUNCTION_WORDS = re.compile(
    r"(?<![\w.-])(?:the|and|is|are|was|were|of|to|with|not|for|that|this|these|it|its|be|been|has|have|from|which|by|if|because|could|cannot|must|only|already|than)(?![\w-])",
    re.IGNORECASE,
)
CODE = re.compile(r'"[^"\n]*"|(?:\S*[/\\]\S*)|^ *(?:powershell|import) .*$|--[\w-]+(?: [A-Z]+)?', re.MULTILINE)
# What a page shows of scripts, of packages, and of other tools.
NOT_TEXT = frozenset({"style", "script", "pre", "code"})


def found_in(text: str, language: str) -> list[str]:
    """Return the English phrases of nbserver in a text, and the lines with English words."""
    plain = CODE.sub(" ", text)
    joined = " ".join(text.split())
    phrases = [phrase for phrase in _phrases(language) if phrase in joined]
    return phrases + [line.strip() for line in plain.split("\n") if FUNCTION_WORDS.search(line)]


def text_of_page(html: str) -> str:
    """Return what a person reads on a page, without code, and without what packages say about themselves."""
    reader = _Reader()
    text = re.sub(r"<section aria-labelledby=packages>.*?</section>|<h4>.*?</h4>", "", html, flags=re.DOTALL)
    reader.feed(re.sub(r"(<dt>[^<]*<dd>)[^<]*(?=<dt>[^<]*<dd>[^<]*<dt>[^<]*<dd>[^<]*</dl>)", r"\1", text))  # the origin of a hash
    return "\n".join(reader.texts)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in NOT_TEXT:
            self._open.append(tag)
        self.texts += [value for name, value in attributes if name in ("aria-label", "data-label", "placeholder", "alt") and value]

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._open and data.strip():
            self.texts.append(data.strip())


@cache
def _phrases(language: str) -> frozenset[str]:
    """Return the parts of all English texts that have a translation and enough words."""
    known = catalogs.read(catalogs.po_path(CHECKOUT, language), language)
    found = set()
    for text, message in known.items():
        forms = " ".join([message.string] if isinstance(message.string, str) else message.string)
        for english in (text, *(message.id if isinstance(message.id, tuple) else ())):
            for piece in re.split(r"%\(\w+\)s|<[^>]*>|\n", PLACEHOLDER.sub("\n", english)):
                piece = " ".join(piece.split())
                if len(re.findall(r"[A-Za-z]{2,}", piece)) >= LEAST and " " in piece and piece not in " ".join(forms.split()):
                    found.add(piece)
    return frozenset(found)
