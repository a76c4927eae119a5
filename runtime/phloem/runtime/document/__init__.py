"""The workflow file: reading it, writing it in one canonical form, and saving it without losing a word.

    document = load("ask.flow.yaml")
    edited = document.replace(document.workflow.with_setting("pieces", "size", 80))
    save(edited)

Comments that people wrote survive. Every problem of a file is told at once, with its line.
"""

from phloem.runtime.document.document import MOST_BYTES, WorkflowFile, dump, dump_json, parse, text_of
from phloem.runtime.document.files import load, save
from phloem.runtime.document.tree import Marks

__all__ = ["MOST_BYTES", "Marks", "WorkflowFile", "dump", "dump_json", "load", "parse", "save", "text_of"]
