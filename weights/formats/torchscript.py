# SPDX-License-Identifier: Apache-2.0
"""Symbolic evaluation of the code in a TorchScript archive, without executing it.

TorchScript's code is text in a small subset of Python. `follow` parses it and evaluates the statements with symbols in
place of images. It supports what convolutional networks need; everything else is an error. The result gives the order
of the convolutions and the factors of the residual branches, which the names of tensors do not: in a frozen archive,
tensors have no names, and a factor may have been moved into them.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from weights.formats.torch_file import ScriptModule, TorchFile

DEEPEST = 60
"""Largest depth of nested calls."""
LONGEST = 100_000
"""Largest number of expressions to evaluate."""


@dataclass(frozen=True, eq=False)
class Node:
    """A step of the computation."""

    kind: str
    """`input`, `join`, `convolution`, `relu`, `add`, `scale`."""
    inputs: tuple["Node", ...] = ()
    """The steps that give its inputs."""
    values: tuple = ()
    """Number of an input; kernel (as torch has it) and bias of a convolution; factor of a scale."""


@dataclass(eq=False)
class Image:
    """An image of the computation. In-place operations replace the step that it results from."""

    node: Node


def _unexpected(what: str, received: Any) -> ValueError:
    return ValueError(f"expected {what} in the file's code, got {received}")


def _number(value: Any) -> float:
    """Return a number that is written in the code, or is a constant of it."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if type(value) not in (int, float):
        raise _unexpected("a number", type(value).__name__)
    return float(value)


def _image(value: Any) -> Node:
    if not isinstance(value, Image):
        raise _unexpected("an image", type(value).__name__)
    return value.node


def _join(images: list, axis: int) -> Image:
    if axis not in (1, -3):
        raise _unexpected("a concatenation of bands", f"along axis {axis}")
    return Image(Node("join", tuple(_image(image) for image in images)))


def _convolve(image: Any, kernel: Any, bias: Any, settings: tuple, expected: tuple) -> Image:
    """Convolve with stride 1 and unchanged size."""
    if not isinstance(kernel, np.ndarray) or not isinstance(bias, np.ndarray):
        raise _unexpected("a convolution with a kernel and a bias", f"{type(kernel).__name__}, {type(bias).__name__}")
    for setting, right in zip(settings, expected):
        if setting not in right:
            raise _unexpected("a convolution with stride 1 and unchanged size", settings)
    return Image(Node("convolution", (_image(image),), (kernel, bias)))


ONES = ([1, 1],)
SAME = ("same", [1, 1])


def _conv2d(image, kernel, bias=None, stride=(), padding=(), dilation=[1, 1], groups=1) -> Image:  # noqa: B006
    return _convolve(image, kernel, bias, (stride, padding, dilation, groups), (ONES, SAME, ONES, (1,)))


def _convolution(image, kernel, bias, stride, padding, dilation, transposed, _, groups, *__) -> Image:
    settings = (stride, padding, dilation, transposed, groups)
    return _convolve(image, kernel, bias, settings, (ONES, SAME, ONES, (False,), (1,)))


def _add(image: Any, other: Any, *, alpha: Any = 1) -> Image:
    return Image(Node("add", (_image(image), _image(other if alpha == 1 else _multiply(other, alpha)))))


def _multiply(image: Any, factor: Any) -> Image:
    return Image(Node("scale", (_image(image),), (_number(factor),)))


def _relu(image: Any) -> Image:
    return Image(Node("relu", (_image(image),)))


OPERATIONS: dict[str, Callable] = {
    "_convolution": _convolution,
    "_convolution_mode": _conv2d,
    "add": _add,
    "cat": _join,
    "conv2d": _conv2d,
    "mul": _multiply,
    "relu": _relu,
}
"""Operations by their names in torch; a trailing `_` marks the in-place variant."""


def _dotted(expression: ast.expr) -> str:
    """Return an expression such as `torch.add` as text; empty for others."""
    if isinstance(expression, ast.Attribute):
        owner = _dotted(expression.value)
        return f"{owner}.{expression.attr}" if owner else ""
    return expression.id if isinstance(expression, ast.Name) else ""


class _Reader:
    """Evaluates the code of an archive."""

    def __init__(self, file: TorchFile):
        self._file = file
        self._modules: dict[str, ast.Module] = {}
        self._depth = 0
        self._length = 0

    def _definition(self, name: str, kind: type, body: list | None = None) -> Any:
        """Return a function or class, by its name in a body or by its qualified name."""
        if body is None:
            module, _, name = name.rpartition(".")
            if module not in self._modules:
                self._modules[module] = ast.parse(self._file.code(module))
            body = self._modules[module].body
        for statement in body:
            if isinstance(statement, kind) and statement.name == name:
                return statement
        raise _unexpected(f"a definition of {name}", "none")

    def method(self, module: ScriptModule, name: str) -> ast.FunctionDef:
        """Return a method of a module."""
        body = self._definition(module.qualified_name, ast.ClassDef).body
        return self._definition(name, ast.FunctionDef, body)

    def call(self, function: ast.FunctionDef, values: list) -> Any:
        """Evaluate a function, given its arguments in order."""
        names = [argument.arg for argument in function.args.args]
        defaults = [self._value(default, {}) for default in function.args.defaults]
        values = values + defaults[len(defaults) - (len(names) - len(values)) :] if len(values) < len(names) else values
        if len(values) != len(names):
            raise _unexpected(f"{len(names)} arguments of {function.name}", len(values))
        self._depth += 1
        if self._depth > DEEPEST:
            raise _unexpected(f"at most {DEEPEST} calls within calls", "more")
        result = self._run(function.body, dict(zip(names, values)))
        self._depth -= 1
        return result

    def _run(self, body: list[ast.stmt], variables: dict[str, Any]) -> Any:
        """Evaluate statements; return the function's result if they contain the return."""
        for statement in body:
            if isinstance(statement, ast.Return) and statement.value is not None:
                return self._value(statement.value, variables)
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                variables[statement.targets[0].id] = self._value(statement.value, variables)
            elif isinstance(statement, ast.If):
                condition = self._value(statement.test, variables)
                if type(condition) is not bool:
                    raise _unexpected("a condition that is known", ast.unparse(statement.test))
                self._run(statement.body if condition else statement.orelse, variables)
            else:
                raise _unexpected("an assignment", ast.unparse(statement).splitlines()[0])
        return None

    def _value(self, expression: ast.expr, variables: dict[str, Any]) -> Any:
        """Evaluate an expression."""
        self._length += 1
        if self._length > LONGEST:
            raise _unexpected(f"at most {LONGEST} expressions", "more")
        if isinstance(expression, ast.Constant):
            return expression.value
        if isinstance(expression, ast.Name) and expression.id in variables:
            return variables[expression.id]
        if isinstance(expression, ast.List):
            return [self._value(element, variables) for element in expression.elts]
        if isinstance(expression, ast.UnaryOp) and isinstance(expression.op, ast.USub):
            return -_number(self._value(expression.operand, variables))
        if isinstance(expression, ast.Attribute):
            if _dotted(expression.value) == "CONSTANTS":
                return self._file.constants[int(expression.attr.removeprefix("c"))]
            return self._attribute(expression.value, expression.attr, variables)
        if isinstance(expression, ast.Call):
            return self._called(expression, variables)
        raise _unexpected("an expression of a convolutional network", ast.unparse(expression))

    def _attribute(self, owner: ast.expr, name: str, variables: dict[str, Any]) -> Any:
        """Return an attribute of a module."""
        module = self._value(owner, variables)
        if not isinstance(module, ScriptModule) or name not in module.state:
            raise _unexpected(f"a module with {name}", ast.unparse(owner))
        return module.state[name]

    def _called(self, call: ast.Call, variables: dict[str, Any]) -> Any:
        """Evaluate a call of an operation, of a function of the code, or of a module's method."""
        name = _dotted(call.func)
        if name == "getattr" and isinstance(call.args[1], ast.Constant):
            return self._attribute(call.args[0], call.args[1].value, variables)
        values = [self._value(argument, variables) for argument in call.args]
        settings = {keyword.arg: self._value(keyword.value, variables) for keyword in call.keywords}
        operation = name.removeprefix("torch.")
        if name.startswith("torch.") and operation.removesuffix("_") in OPERATIONS:
            result = OPERATIONS[operation.removesuffix("_")](*values, **settings)
            if not operation.endswith("_"):
                return result
            values[0].node = result.node
            return values[0]
        if name.startswith("__torch__.") and not settings:
            return self.call(self._definition(name, ast.FunctionDef), values)
        if isinstance(call.func, ast.Attribute) and not name.startswith("torch.") and not settings:
            module = self._value(call.func.value, variables)
            if isinstance(module, ScriptModule):
                return self.call(self.method(module, call.func.attr), [module, *values])
        raise _unexpected("an operation of a convolutional network", ast.unparse(call.func))


def follow(file: TorchFile) -> tuple[Node, list[Node]]:
    """Evaluate the code of an archive, starting at its module's `forward`.

    Args:
        file: a TorchScript archive.

    Returns:
        The last step, and the inputs: images, in the order of the arguments.

    Raises:
        ValueError: the code contains unsupported operations, or the file is damaged.
    """
    try:
        reader = _Reader(file)
        forward = reader.method(file.root, "forward")
        inputs = [Node("input", values=(index,)) for index in range(len(forward.args.args) - 1)]
        return _image(reader.call(forward, [file.root, *map(Image, inputs)])), inputs
    except ValueError:
        raise
    except (SyntaxError, RecursionError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"expected TorchScript ({type(error).__name__}: {error})") from error
