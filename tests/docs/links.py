"""The links of the documents. `python -m tests.docs.links` prints those that lead elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from tests.docs.documents import MARKDOWN, documents, text_of

_IMAGE = re.compile(r'<img src="([^"]+)"')


def links_of(document: str) -> list[str]:
    """Every target: of links, of pictures, in Markdown and in HTML."""
    found = []
    for token in MARKDOWN.parse(text_of(document)):
        for each in [token, *(token.children or [])]:
            found += [str(value) for name, value in each.attrItems() if name in ("href", "src")]
            if each.type in ("html_block", "html_inline"):
                found += _IMAGE.findall(each.content)
    return found


def anchors_of(document: str) -> set[str]:
    """The names of its headings, as GitHub and the site make them."""
    seen: Counter[str] = Counter()
    names = set()
    for heading in _headings(document):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def _headings(document: str) -> Iterator[str]:
    in_heading = False
    for token in MARKDOWN.parse(text_of(document)):
        if in_heading:
            yield "".join(each.content for each in token.children or [])
        in_heading = token.type == "heading_open"


def elsewhere() -> dict[str, list[str]]:
    """Addresses of other servers, each with the documents that link to it."""
    found: dict[str, list[str]] = {}
    for document in documents():
        for target in links_of(document):
            if re.match(r"https?://(?!localhost\b|127\.)", target):
                found.setdefault(target, []).append(document)
    return found


def main() -> None:
    """Print them, one a line."""
    for target, where in sorted(elsewhere().items()):
        print(target, *sorted(set(where)))


if __name__ == "__main__":
    main()
