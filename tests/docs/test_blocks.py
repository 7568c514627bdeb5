"""Every block of code in the documents is run by a test, or listed with the reason why not (`tests/docs/blocks.py`)."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tests.docs.blocks import BLOCKS, WHOLE, NotRun, RunBy
from tests.docs.documents import Block, blocks_of, documents
from tests.support.parts import ROOT

EVERY = [block for document in documents() for block in blocks_of(document)]
ENTRIES = [entry for entries in BLOCKS.values() for entry in entries.values()] + list(WHOLE.values())


def key_of(block: Block) -> str | None:
    """The entry that the block has in BLOCKS."""
    fits = [key for key in BLOCKS.get(block.document, {}) if block.first_line.startswith(key)]
    return max(fits, key=len, default=None)


def test_every_block_is_run_or_listed():
    missing = [
        f"{each.document}, line {each.line} ({each.heading}): {each.first_line!r}"
        for each in EVERY
        if key_of(each) is None and each.document not in WHOLE
    ]
    assert missing == [], "run them in a test, and say so in tests/docs/blocks.py"


def test_every_entry_has_one_block():
    times = Counter((each.document, key_of(each)) for each in EVERY)
    entries = [(document, key) for document, keys in BLOCKS.items() for key in keys]
    assert {entry: times[entry] for entry in entries if times[entry] != 1} == {}
    assert [document for document in WHOLE if not any(each.document == document for each in EVERY)] == []


@pytest.mark.parametrize("test", sorted({entry.test for entry in ENTRIES if isinstance(entry, RunBy)}))
def test_what_is_said_to_run_them_is_there_and_reads_the_document(test):
    file, _, function = test.partition("::")
    assert file.rpartition("/")[2].startswith("test_")
    text = (ROOT / file).read_text("utf-8")
    if function:
        assert function in {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    reads = [document for document, entry in WHOLE.items() if entry.test == test]
    reads += [document for document, entries in BLOCKS.items() if RunBy(test) in entries.values()]
    assert [document for document in reads if document.rpartition("/")[2] not in text] == []


def test_reasons_name_tests_that_are_there():
    reasons = [entry.because for entry in ENTRIES if isinstance(entry, NotRun)]
    assert all(len(reason) > 20 for reason in reasons)
    named = {word.strip(",;:") for reason in reasons for word in reason.split() if word.startswith("tests/")}
    assert [name for name in named if not (ROOT / name).exists()] == []
