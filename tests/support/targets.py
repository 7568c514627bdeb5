"""Request targets: guarded paths, in disguises that one reader or another sees through, and odd innocent ones."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

GUARDED = ("/_ah/channel/connected", "/_ah/channel/disconnected", "/_ah/channel/receive")


def escaped(text: str, letters: str) -> str:
    """`text` with each of `letters` as %XX."""
    return "".join(f"%{ord(letter):02x}" if letter in letters else letter for letter in text)


# How the path itself is written. WHATWG: backslashes, letters escaped, tabs; Java: parameters; routers: empty segments.
BODIES: list[Callable[[str], str]] = [
    lambda path: path,
    lambda path: path.upper(),
    lambda path: path.replace("/channel/", "//channel///"),
    lambda path: path.replace("/channel/", "/./channel/x/../"),
    lambda path: path.replace("/channel/", "/%2e/channel/x/.%2E/"),
    lambda path: path.replace("/channel/", "\\channel\\"),
    lambda path: path.replace("/channel/", "%2fchannel%5C"),
    lambda path: path.replace("/channel/", ";a=b/channel;/"),
    lambda path: escaped(path, "aeiou"),
    lambda path: escaped(path, "aeiou").replace("%", "%25"),
    lambda path: path.replace("channel", "chan%09nel").replace("ec", "e%0Ac"),
    lambda path: path.replace("/channel/", "/a%2fb/%2E%2e/channel/"),
    lambda path: path.replace("a", "%u0061").replace("e", "%U0065"),
]

# What comes before it. RFC 3986, WHATWG: an authority; RFC 9112: the absolute form, which CherryPy sees in others too.
FRONTS = ["", "//x", "//x:80", "//user@x", "/\\x", "///x", "/x/..", "/%2e", "//x//y", "/%5cx", "http://other.example",
          "HTTP://o//x", "/;x/..", "/%2Fx", "/http://x", "/x/y://z"]  # fmt: skip

# What comes behind it. RFC 3986: `..` takes an empty segment away; fragments, empty queries, ends that readers drop.
BACKS = ["", "/", "//..", "/x/..", "//%2e%2e", "/.", "#x", "/#/..", "?", "?x=/../..", "%3Fx", "%23", ";x=y", "/a\\b/..",
         "%20", "%00x", "/x\\..", "/a%2fb/..", "%2f", "%5c"]  # fmt: skip


def disguised(count: int) -> dict[str, str]:
    """So many, the same each time, with the path that each hides; every way to write one is among the first."""
    chosen = random.Random(13)
    found: dict[str, str] = {}
    longest = max(len(FRONTS), len(BODIES), len(BACKS))
    for front, body, back in [
        *[(FRONTS[n % len(FRONTS)], BODIES[n % len(BODIES)], "/") for n in range(longest)],
        *[("", BODIES[n % len(BODIES)], BACKS[n % len(BACKS)]) for n in range(longest)],
        *[(FRONTS[n % len(FRONTS)], BODIES[0], BACKS[n % len(BACKS)]) for n in range(longest)],
        *chosen.sample(list(itertools.product(FRONTS, BODIES, BACKS)), 4 * count),
    ]:
        path = chosen.choice(GUARDED)
        found[front + body(path) + back] = path
    return dict(itertools.islice(found.items(), count))


ODD = [
    "/", "//", "//x", "//x/y", "///x", "/x//y", "/x//", "/./x", "/x/../y", "/x/..", "/..", "/%2e%2e/x", "/x%2Fy",
    "/x%2fy", "/%25", "/%2525", "/%252F", "/%", "/%zz", "/100%", "/x%00y", "/x%09y", "/x%20y", "/x+y", "/x\\y", "/\\x",
    "/x;y=1", "/x;y=1/z;", "/;", "/http://other.example/x?y=z", "/https%3A%2F%2Fother.example%2Fx", "//http://x/y",
    "/x?", "/?", "/?x=a?b=c&d=%2F..//", "/x?y=\\z", "/x?y=%zz", "/x??y", "/x#y", "/x?y#z", "/#/x", "/x:80/y", "/@x",
    "/~x", "/%u0041", "/%u", "/x'y\"z", "/<x>", "/{x}|^`", "/[x]", "/x,y!z*($)", "/caf%C3%A9", "/%e2%98%83", "/X/Y.Z",
    "/.x", "/x.",
    "/_ah/channel", "/_ah/channel/", "/_ah/channel/connect", "/_ah/channel/connected/x", "/_ah/channel/connected.html",
    "/connected/", "/x/_ah/channel/connected/", "/_ah/channels/receive", "/receive?x=/_ah/channel/receive",
    "/x?next=/_ah/channel/connected/", "/_ah/warmup", "/_emux", "/" + "x" * 4000,
]  # fmt: skip
"""Innocent ones, which go on to the app byte for byte."""
