"""Comments that a person wrote survive reading, editing and writing, each beside what it speaks of."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from phloem.runtime.document import dump, parse
from phloem.runtime.document.data import workflow_data
from phloem.runtime.errors import DocumentError
from phloem.runtime.workflow import Node, Source, Workflow
from support.workflows import exactly, workflows

CANONICAL = """\
# A licence, say
# on two lines

# About the format
phloem: 1
title: T  # the title

# What it is given
inputs:  # all of them
  # the page
  page: {type: text}  # a URL

  # none more
nodes:
  # first
  read:  # reads
    # which one
    kind: web.read@1  # one
    # from
    in: {url: input.page}  # here
    set:
      # how much
      size: 60  # pieces
      # what
      template: |  # a block
        # no comment
        text # neither
      stop:  # where
        # the first
        - a  # A
        # the second
        - b
        # no third
      deep:
        # one
        - x: 1  # X
          # why
          y: 2
        -  # two
          z: |
            3
      # the end of set
    # the end of read

  # second
  write: {}
  # the end of nodes
outputs:
  o: read.text  # O
layout:
  read: [0, 0]  # moved
# the end
# really
""".replace("  write: {}\n", "  write:\n    kind: files.write@1\n")


def comments(text):
    return re.findall(r"# [^\n]*", text)


def test_comments_stay_where_they_are():
    first = dump(parse(CANONICAL))
    assert sorted(comments(first)) == sorted(comments(CANONICAL))
    assert dump(parse(first)) == first
    assert first == CANONICAL


def test_comments_survive_edits():
    document = parse(CANONICAL)
    workflow = (
        document.workflow.with_setting("read", "size", 80)
        .with_setting("read", "more", True)
        .with_node("new", Node("text.join@1", {"texts": (Source("read", "text"),)}))
    )
    workflow = replace(workflow, title="Another", layout={**workflow.layout, "new": [1, 1]})
    text = dump(document.replace(workflow))
    assert sorted(comments(text)) == sorted(comments(CANONICAL))
    assert "      # how much\n      size: 80  # pieces\n" in text
    assert "title: Another  # the title\n" in text
    assert dump(parse(text)) == text


def test_the_comments_of_a_node_go_with_it_and_come_back_with_it():
    document = parse(CANONICAL)
    without = document.replace(document.workflow.without_node("read"))
    text = dump(without)
    assert set(comments(CANONICAL)) - set(comments(text)) >= {
        "# first",
        "# reads",
        "# how much",
        "# O",
        "# moved",
        "# the end of read",
    }
    assert set(comments(text)) >= {"# second", "# the end of nodes", "# the page", "# the end", "# A licence, say"}
    assert dump(without.replace(document.workflow)) == dump(document)


def test_comments_go_with_a_renamed_node():
    document = parse(CANONICAL)
    renamed = document.replace(document.workflow.with_renamed({"read": "fetch"}))
    text = dump(renamed)
    assert text == dump(document).replace("  read:", "  fetch:").replace("read.text", "fetch.text")
    assert dump(renamed.replace(document.workflow)) == dump(document)


def test_comments_go_with_the_items_of_a_list():
    document = parse(CANONICAL)
    for stop, wanted in [
        (["new", "a", "b"], ["- new", "# the first", "- a  # A", "# the second", "- b", "# no third"]),
        (["b"], ["# the second", "- b", "# no third"]),
        (["b", "a"], ["# the second", "- b", "# the first", "- a  # A", "# no third"]),
        (["a", "c"], ["# the first", "- a  # A", "# the second", "- c", "# no third"]),
    ]:
        text = dump(document.replace(document.workflow.with_setting("read", "stop", stop)))
        block = [line.strip() for line in text.partition("stop:  # where\n")[2].partition("      deep")[0].splitlines()]
        assert [line for line in block if line in wanted] == wanted
        assert dump(parse(text)) == text


ODD = """\
==== in {} and [] over several lines
nodes:
  a:
    kind: x@1
    set: {  # both
      b: 1,  # one
      # two
      c: [1,  # first
        2  # second
      ]  # row
      # last
    }  # done
---- becomes, among other things
    # done
    set:  # both
      b: 1  # one
      # two
      c:  # row
        - 1  # first
        - 2  # second
      # last
==== on the line of a small mapping
nodes:
  a: {kind: x@1, set: {b: 1}}  # small
---- becomes, among other things
  a:  # small
    kind: x@1
    set: {b: 1}
==== on the line of a small mapping
nodes: {a: {kind: x@1}}  # all
---- becomes, among other things
nodes:  # all
  a:
    kind: x@1
==== between a key and its value
nodes:
  a:
    kind:
      # why
      x@1
---- becomes, among other things
  a:
    # why
    kind: x@1
==== between a key and its value
nodes:
  a:
    kind: # why
      x@1
---- becomes, among other things
    kind: x@1  # why
==== behind a block, and with fewer or more spaces than what is around
nodes:
  a:
    kind: x@1
    note: |
      text
      # text
  # b
  b: {kind: x@1}
---- becomes, among other things
      # text
  # b
  b:
==== behind a block, and with fewer or more spaces than what is around
nodes:
  a:
# far left
    kind: x@1
---- becomes, among other things
  a:
    # far left
    kind: x@1
==== behind a block, and with fewer or more spaces than what is around
nodes:
            # far right
  a:
    kind: x@1
---- becomes, among other things
nodes:
  # far right
  a:
==== behind a block, and with fewer or more spaces than what is around
nodes:
  a:
    kind: x@1
   # between
  b: {kind: x@1}
---- becomes, among other things
    kind: x@1
  # between
  b:
==== of what is not written in the canonical form
nodes:
  a:
    kind: x@1
    # nothing to set
    set: {}
  b: {kind: x@1}
---- becomes, among other things
    kind: x@1
    # nothing to set
  b:
==== of what is not written in the canonical form
nodes:
  a:
    kind: x@1
    retry: 0  # never
inputs: {}
---- becomes, among other things
    kind: x@1
    # never
==== of what is not written in the canonical form
nodes:
  a:
    kind: x@1
    retry:
      times: 3
      # short
      wait: 1
---- becomes, among other things
    # short
    retry: 3
==== of what is not written in the canonical form
about: ''  # none
title: x
---- becomes, among other things
title: x
# none
==== of what is not written in the canonical form
inputs:
  a: text  # A
---- becomes, among other things
inputs:
  a: {type: text}  # A
==== of what is not written in the canonical form
inputs:
  # none yet
  {}
title: x
---- becomes, among other things
title: x
# none yet
==== of what is not written in the canonical form
layout:
  a: []  # none
  b:
    # nothing inside
    {}
---- becomes, among other things
layout:
  a: []  # none
  # nothing inside
  b: {}
==== of what is not written in the canonical form
layout:
  b: {
    # nothing inside
    }
---- becomes, among other things
layout:
  # nothing inside
  b: {}
==== lists
nodes:
  a:
    kind: x@1
    set:
      l:
      # one
      - 1
      # two
      -
        # inner
        2
      # end?
      m: 1
---- becomes, among other things
      l:
        # one
        - 1
        # two
        # inner
        - 2
      # end?
      m: 1
==== lists
nodes:
  a:
    kind: x@1
    set:
      l: [[1, 2], [3, 4]]  # matrix
---- becomes, among other things
    set:
      l: [[1, 2], [3, 4]]  # matrix
==== lists
nodes:
  a:
    kind: x@1
    set:
      l:
        - - a: 1  # deep
          - 2
---- becomes, among other things
        - - a: 1  # deep
          - 2
==== lists
nodes:
  a:
    kind: x@1
    set:
      l:
        - -  # dashes
            # inner
            a: |
              b
---- becomes, among other things
        # inner
        - -  # dashes
            a: |
==== lists
nodes:
  a:
    kind: x@1
    set:
      l:
        -  # one
          a: 1
---- becomes, among other things
      l:
        - {a: 1}  # one
==== lists
nodes:
  a:
    kind: x@1
    set:
      l:
        - a:
            # first
            - 1
---- becomes, among other things
        - a:
            # first
            - 1
==== quotes and hashes that are no comments
title: "a # b"  # c
about: it's a#b
---- becomes, among other things
title: "a # b"  # c
about: it's a#b
==== quotes and hashes that are no comments
title: 'x'# glued
---- becomes, among other things
title: x  # glued
==== quotes and hashes that are no comments
about: >
  folded # no
  text
# yes
title: x
---- becomes, among other things
# yes
title: x
about: |
  folded # no text
==== quotes and hashes that are no comments
about: |+
  kept


# after
model: m
---- becomes, among other things
about: |+
  kept


# after
model: m
"""


def odd_cases():
    """What is read and what is written of it, from the text above."""
    for case in ODD.split("==== ")[1:]:
        title, _, rest = case.partition("\n")
        read, _, written = rest.partition("---- becomes, among other things\n")
        yield pytest.param(read, written, id=title)


@pytest.mark.parametrize(("text", "wanted"), [*odd_cases()])
def test_comments_in_odd_places_are_kept_near_what_they_speak_of(text, wanted):
    text = f"phloem: 1\n{text}"
    document = parse(text)
    written = dump(document)
    assert wanted in written
    assert dump(parse(written)) == written
    assert parse(written).workflow == document.workflow


def test_empty_lines_between_entries_are_kept_one_at_a_time():
    text = """

phloem: 1



nodes:

  a:
    kind: x@1

    set: {b: 1,

      c: 2}


  b:
    kind: y@1
    note: |
      one

      two


  c:
    kind: z@1

"""
    written = dump(parse(text))
    assert (
        written
        == """\
phloem: 1

nodes:
  a:
    kind: x@1

    set: {b: 1, c: 2}

  b:
    kind: y@1
    note: |
      one

      two

  c:
    kind: z@1
"""
    )
    assert dump(parse(written)) == written


def test_a_workflow_without_a_file_has_no_comments():
    assert dump(parse(CANONICAL).workflow).count("#") == CANONICAL.count("# no comment") + CANONICAL.count("# neither")


def test_comments_with_windows_line_ends_and_odd_characters():
    document = parse("# ä😀\u200b\r\nphloem: 1\r\ntitle: x # é\r\n# end\r\n")
    assert dump(document) == "# ä😀\u200b\nphloem: 1\ntitle: x  # é\n# end\n"


plain_texts = st.sampled_from(
    ["word", "two words", "one\ntwo\n", "", "# no", "a # b", "x: y", "it's", "yes", "deep\n  # no\n\nend", "12"]
)
plain_values = st.recursive(
    st.one_of(plain_texts, st.integers(-9, 9), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcdef"), inner, max_size=3)),
    max_leaves=12,
)
plain_workflows = st.builds(
    Workflow,
    title=plain_texts,
    nodes=st.dictionaries(
        st.sampled_from(["read", "write", "think"]),
        st.builds(
            Node,
            st.just("x@1"),
            set=st.dictionaries(st.sampled_from("abcdef"), plain_values, max_size=4),
            note=plain_texts,
        ),
        max_size=3,
    ),
    layout=st.dictionaries(st.sampled_from("pqr"), plain_values, max_size=2),
)


@pytest.mark.slow
@given(plain_workflows, st.sampled_from(["canonical", "block", "flow"]), st.data())
@settings(max_examples=500, deadline=None)
def test_no_comment_is_lost_wherever_it_stands(workflow, style, data):
    """Comments and empty lines are strewn over a file; what is read is the same, and every comment is written once."""
    written = dump(workflow)
    if style != "canonical":
        written = yaml.safe_dump(workflow_data(workflow), default_flow_style=style == "flow", width=12, sort_keys=False)
    strewn = []
    for number, line in enumerate(written.splitlines()):
        what = data.draw(st.sampled_from(["", "", "", "above", "beside", "empty"]))
        if what == "above":
            strewn.append(" " * data.draw(st.integers(0, 9)) + f"# above {number}!")
        elif what == "empty":
            strewn.append("")
        strewn.append(line + (f" # beside {number}!" if what == "beside" else ""))
    text = "\n".join([*strewn, "# last!"]) + "\n"
    try:
        document = parse(text)
    except DocumentError:
        assume(False)
    assume(document.workflow == workflow)
    written = dump(document)
    again = parse(written)
    assert again.workflow == workflow
    assert dump(again) == written
    for comment in set(re.findall(r"# (?:above|beside) \d+!|# last!", text)):
        assert written.count(comment) == 1


@pytest.mark.slow
@given(workflows(), workflows(), st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_edit_of_a_commented_file_can_be_written(one, other, places):
    lines = dump(one).splitlines()
    for place in places:
        lines.insert(min(place, len(lines)), "      # c")
    try:
        document = parse("\n".join(lines))
    except DocumentError:
        assume(False)
    mixed = Workflow(nodes={**one.nodes, **other.nodes}, inputs=other.inputs, layout=one.layout, title=other.title)
    written = dump(document.replace(mixed))
    assert exactly(parse(written).workflow) == exactly(mixed)
    assert dump(parse(written)) == written
