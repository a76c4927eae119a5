"""The engine: the workflow file, its checks, and everything that runs it. It needs no Qt and no wasmtime.

    from phloem.runtime import load, run, start

    result = run("ask.flow.yaml", question="…")
    print(result.outputs["answer"])

The names are loaded when they are first used, so that the command line starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phloem.runtime.body import Body
    from phloem.runtime.catalogue import Catalogue
    from phloem.runtime.checks import check
    from phloem.runtime.context import Context
    from phloem.runtime.declare import In, Out, Setting, kinds_in, node
    from phloem.runtime.document import WorkflowFile, dump, load, parse, save
    from phloem.runtime.engine import Engine, run, start
    from phloem.runtime.errors import (
        InputError,
        NodeError,
        PermissionNeeded,
        PhloemError,
        ServiceError,
        SettingError,
        WorkflowError,
    )
    from phloem.runtime.kinds import Estimate, Example, Inside, Nesting, NodeKind
    from phloem.runtime.ports import Json, ModelName, Port, Ports, PortType, Vector
    from phloem.runtime.runs import Options, Result, Run
    from phloem.runtime.services import Ending, Request, Tool
    from phloem.runtime.values import UNLIT, Blob, Collection, Document, Hit, Message, ToolCall
    from phloem.runtime.view import RunView, fold
    from phloem.runtime.workflow import Input, Limit, Node, Source, Workflow

_HOMES = {
    "body": ["Body"],
    "catalogue": ["Catalogue"],
    "checks": ["check"],
    "context": ["Context"],
    "declare": ["In", "Out", "Setting", "kinds_in", "node"],
    "document": ["WorkflowFile", "dump", "load", "parse", "save"],
    "engine": ["Engine", "run", "start"],
    "errors": [
        "InputError",
        "NodeError",
        "PermissionNeeded",
        "PhloemError",
        "ServiceError",
        "SettingError",
        "WorkflowError",
    ],
    "kinds": ["Estimate", "Example", "Inside", "Nesting", "NodeKind"],
    "ports": ["Json", "ModelName", "Port", "PortType", "Ports", "Vector"],
    "runs": ["Options", "Result", "Run"],
    "services": ["Ending", "Request", "Tool"],
    "values": ["UNLIT", "Blob", "Collection", "Document", "Hit", "Message", "ToolCall"],
    "view": ["RunView", "fold"],
    "workflow": ["Input", "Limit", "Node", "Source", "Workflow"],
}
_MODULE = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "UNLIT",
    "Blob",
    "Body",
    "Catalogue",
    "Collection",
    "Context",
    "Document",
    "Ending",
    "Engine",
    "Estimate",
    "Example",
    "Hit",
    "In",
    "Input",
    "InputError",
    "Inside",
    "Json",
    "Limit",
    "Message",
    "ModelName",
    "Nesting",
    "Node",
    "NodeError",
    "NodeKind",
    "Options",
    "Out",
    "PermissionNeeded",
    "PhloemError",
    "Port",
    "PortType",
    "Ports",
    "Request",
    "Result",
    "Run",
    "RunView",
    "ServiceError",
    "Setting",
    "SettingError",
    "Source",
    "Tool",
    "ToolCall",
    "Vector",
    "Workflow",
    "WorkflowError",
    "WorkflowFile",
    "check",
    "dump",
    "fold",
    "kinds_in",
    "load",
    "node",
    "parse",
    "run",
    "save",
    "start",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"phloem.runtime.{_MODULE[name]}"), name)
