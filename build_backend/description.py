"""What a package index shows: README.md with links that lead somewhere, and the project's addresses.

A link of the README's is relative to the source tree, which an index does not have. Where the project has an address
(`address` in setup.cfg), links and images become absolute ones, of the released version; where it has none, a link
becomes its text, and an image goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
_TEXT = r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]"
_TARGET = r"""\(\s*<?([^\s<>()]*)>?(\s+"[^"]*")?\s*\)"""
# What comes first wins: what is within a code span is no link, and a link's text may have one.
_IMAGE = re.compile(rf"(?P<code>(`+)(?!`).*?(?<!`)\2(?!`))|!{_TEXT}{_TARGET}", re.DOTALL)
_LINK = re.compile(rf"(?P<code>(`+)(?!`).*?(?<!`)\2(?!`))|(?<!!){_TEXT}{_TARGET}", re.DOTALL)
_IMAGE_TAG = re.compile(r"""<img\b[^>]*?\bsrc="([^"]*)"[^>]*>""", re.IGNORECASE)
_LINK_TAG = re.compile(r"""(<a\b[^>]*?\bhref=")([^"]*)("[^>]*>)(.*?)</a>""", re.IGNORECASE | re.DOTALL)
_ABSOLUTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_ADDRESS = re.compile(r"https://[^\s/]+(/[^\s/?#]+)+")


class BadAddress(ValueError):
    """The project's address cannot be one; the text says where it stands and what it should be."""


def checked_address(text: str) -> str:
    """The address without a slash at its end, "" for none. Raises `BadAddress`."""
    address = text.strip().rstrip("/")
    if address and not _ADDRESS.fullmatch(address):
        raise BadAddress(
            f"setup.cfg, [project], address: {text.strip()!r} is not the address of a repository, such as "
            "https://host/owner/name; leave it empty for none"
        )
    return address


def project_urls(address: str, version: str) -> dict[str, str]:
    """The links beside the description, none without an address."""
    if not address:
        return {}
    return {
        "Source": address,
        "Documentation": f"{address}/blob/v{version}/docs/README.md",
        "Changelog": f"{address}/blob/v{version}/CHANGES.md",
        "Issues": f"{address}/issues",
    }


def long_description(readme: str, address: str, version: str) -> str:
    """`readme`, the text of README.md, for a package index."""
    made, at = [], 0
    for fence in _FENCE.finditer(readme):
        made += [_prose(readme[at : fence.start()], address, version), fence[0]]
        at = fence.end()
    made.append(_prose(readme[at:], address, version))
    return re.sub(r"\n{3,}", "\n\n", "".join(made))


def _prose(text: str, address: str, version: str) -> str:
    def absolute(folder: str, target: str) -> str:
        file = f"README.md{target}" if target.startswith("#") else target.removeprefix("./")
        return f"{address}/{folder}/v{version}/{file}"

    def image(found: re.Match[str]) -> str:
        alt, target, title = found[3], found[4], found[5] or ""
        if address:
            return f"![{alt}]({absolute('raw', target)}{title})"
        return "" if _alone(found) else alt

    def link(found: re.Match[str]) -> str:
        words, target, title = found[3], found[4], found[5] or ""
        return f"[{words}]({absolute('blob', target)}{title})" if address else words

    def image_tag(found: re.Match[str]) -> str:
        return found[0].replace(f'"{found[1]}"', f'"{absolute("raw", found[1])}"') if address else ""

    def link_tag(found: re.Match[str]) -> str:
        begin, target, rest, words = found.groups()
        return f"{begin}{absolute('blob', target)}{rest}{words}</a>" if address else words

    text = _IMAGE.sub(_unless_absolute(image, 4), text)
    text = _LINK.sub(_unless_absolute(link, 4), text)
    text = _IMAGE_TAG.sub(_unless_absolute(image_tag, 1), text)
    return _LINK_TAG.sub(_unless_absolute(link_tag, 2), text)


def _unless_absolute(change: Callable[[re.Match[str]], str], group: int) -> Callable[[re.Match[str]], str]:
    """`change` for what is no code, and whose target, in `group`, is relative."""

    def changed(found: re.Match[str]) -> str:
        is_code = found.groupdict().get("code") is not None
        return found[0] if is_code or _ABSOLUTE.match(found[group]) else change(found)

    return changed


def _alone(found: re.Match[str]) -> bool:
    """Whether it has its line to itself: a paragraph that goes, and no word of a sentence."""
    line = found.string[found.string.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0]
    return line.strip() == found[0]
