"""The types of what is written in C: autodoc knows none of them, and the type stubs do.

A parameter that takes whatever has __index__ or __float__ is shown as the int or float that callers
pass.
"""

import ast
import types
from pathlib import Path

STUBS = Path(__file__).resolve().parent.parent / "python" / "child_port" / "_child_port.pyi"
PLAINER = {"SupportsFloat": "float", "SupportsIndex": "int"}
IN_C = (
    type,
    types.BuiltinFunctionType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.MethodDescriptorType,
)


class _Plainer(ast.NodeTransformer):
    """Rewrites the types that only a type checker wants to tell apart."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(PLAINER.get(node.id, node.id))

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        node.left, node.right = self.visit(node.left), self.visit(node.right)
        if ast.unparse(node.left) == "float" and ast.unparse(node.right) == "int":
            return node.left
        return node


def _signature(function: ast.FunctionDef, bound: bool) -> tuple[str, str]:
    if bound:
        del (function.args.posonlyargs or function.args.args)[0]
    arguments = ast.unparse(_Plainer().visit(function.args))
    result = ast.unparse(_Plainer().visit(function.returns)) if function.returns else ""
    return f"({arguments})", result


def _of_class(node: ast.ClassDef) -> dict[str, tuple[str, str]]:
    found = {}
    for item in node.body:
        if not isinstance(item, ast.FunctionDef):
            continue
        decorators = {ast.unparse(decorator) for decorator in item.decorator_list}
        signature = _signature(item, "staticmethod" not in decorators)
        if "property" in decorators:
            found[f"{node.name}.{item.name}"] = "", signature[1]
        elif item.name in ("__new__", "__init__"):
            found[node.name] = signature[0], ""
        else:
            found[f"{node.name}.{item.name}"] = signature
    return found


def read() -> dict[str, tuple[str, str]]:
    """Of each function, method, class and attribute: the parameters, and what comes back."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.parse(STUBS.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = _signature(node, False)
        elif isinstance(node, ast.ClassDef):
            found |= _of_class(node)
    return found


KNOWN = read()


def known(value: object) -> tuple[str, str] | None:
    """What the stubs say of it."""
    if not isinstance(value, IN_C):
        return None
    if isinstance(value, type) and value.__module__ != "child_port":  # the package's own, in Python
        return None
    return KNOWN.get(getattr(value, "__qualname__", ""))


def process(
    app: object,
    what: str,
    name: str,
    value: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str] | None:
    """Sphinx's event autodoc-process-signature. An attribute has none."""
    found = known(value)
    return found if found and found[0] else None


def type_line(what: str, value: object) -> list[str]:
    """What to say behind the docstring of an attribute."""
    found = known(value) if what in ("attribute", "property") else None
    return ["", f"*Type:* ``{found[1]}``"] if found else []
