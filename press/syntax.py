"""Python as a syntax tree without what changes no result: comments, docstrings, annotations, layout."""

from __future__ import annotations

import ast
from typing import Any


def bare(tree: ast.AST) -> ast.AST:
    """The tree itself, docstrings and annotations taken out; of an annotated field without a value the name stays."""
    return _Bare().visit(tree)


def code(source: str) -> str:
    """A module's source as text that changes when what it does may change, and not with its comments.

    Raises:
        SyntaxError: It is not Python.
    """
    return ast.dump(bare(ast.parse(source)))


class _Bare(ast.NodeTransformer):
    def _body(self, node: Any) -> Any:
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)

    visit_Module = visit_ClassDef = _body

    def visit_FunctionDef(self, node: Any) -> Any:
        node.returns = None
        return self._body(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return ast.Expr(value=node.target)
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value, lineno=0))
