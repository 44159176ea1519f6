"""A digest of what an object is: its numbers, its settings and the code that runs them.

A cache keyed by it cannot return a stale answer: a changed weight, stride, attribute, hook, helper function or global
constant changes the digest, and so does another version of an installed package. The price is an occasional miss.
"""

from __future__ import annotations

import ast
import enum
import functools
import hashlib
import inspect
import logging
import pickle
import sys
import sysconfig
import types
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._check import fail

_INSTALLED = tuple({sysconfig.get_paths()[key] for key in ("purelib", "platlib", "stdlib", "platstdlib")})
#: What `nn.Module.__init__` sets; parameters, buffers, children and hooks among these are read on their own.
_MODULE_OWN = frozenset(vars(nn.Module()))
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
#: Entries of a class that say nothing about what it computes.
_CLASS_NOISE = frozenset(
    ("__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__qualname__", "__firstlineno__",
     "__static_attributes__", "__abstractmethods__", "_abc_impl", "__slotnames__", "__dataclass_params__",
     "__dataclass_fields__", "__match_args__", "__parameters__", "__orig_bases__")
)  # fmt: skip


def digest(*values: Any) -> str:
    """Return the sha256 (hex) of the content of `values`, the same in every process.

    Raises
    ------
    TypeError
        When a value's content cannot be read (an open file, a lock): caching it would be a guess.
    """
    return _Reader().joined("values", values).hex()


class _Reader:
    """Digests by content; each object is read once, and an object met again inside itself counts as a cycle."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}
        self._open: set[int] = set()

    def of(self, value: Any) -> bytes:
        if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic | np.dtype):
            return self._hash(type(value).__name__, repr(value).encode())
        key = id(value)
        if key in self._known:
            return self._known[key][1]
        if key in self._open:
            return b"cycle"
        self._open.add(key)
        try:
            found = _read(value, self)
        finally:
            self._open.discard(key)
        # The value is kept alive, or a later object could take its id.
        self._known[key] = (value, found)
        return found

    def joined(self, tag: str, parts: Iterable[Any]) -> bytes:
        return self._hash(tag, *(self.of(part) for part in parts))

    def named(self, tag: str, parts: Mapping[str, Any]) -> bytes:
        return self._hash(tag, *(self._hash(str(key), self.of(part)) for key, part in parts.items()))

    def code(self, tag: str, parts: Mapping[str, Any]) -> bytes:
        """Like `named`, for what code refers to: parts that cannot be read count by their type."""
        found = []
        for key, part in parts.items():
            try:
                found.append(self._hash(key, self.of(part)))
            except TypeError:
                found.append(self._hash(key, type(part).__qualname__.encode()))
        return self._hash(tag, *found)

    @staticmethod
    def _hash(tag: str, *parts: bytes | memoryview) -> bytes:
        total = hashlib.sha256(tag.encode())
        for part in parts:
            total.update(len(part).to_bytes(8, "little"))
            total.update(part)
        return total.digest()

    def array(self, tag: str, array: np.ndarray) -> bytes:
        if array.dtype.hasobject:
            return self.joined(f"{tag} {array.shape}", array.ravel().tolist())
        flat = np.ascontiguousarray(array).reshape(-1)
        return self._hash(f"{tag} {array.dtype} {array.shape}", flat.view(np.uint8).data)


@functools.singledispatch
def _read(value: Any, reader: _Reader) -> bytes:
    """Read any object: its class and its attributes, or its pickle where it has none."""
    for wrapped in ("__wrapped__", "_init_fn"):  # functools.cache and friends; torch's custom operators
        if callable(value) and callable(getattr(value, wrapped, None)):
            return reader.of(getattr(value, wrapped))
    state = _told(value, getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name) and not name.startswith("__"):
                state[name] = getattr(value, name)
    if state:
        return reader.joined("object", (type(value), state))
    try:
        return reader.joined("pickle", (type(value), pickle.dumps(value, protocol=4)))
    except Exception:
        fail(
            "model", "made of parts whose content can be read", f"a {type(value).__name__}",
            "Take it off the model, or record without store=.", TypeError,
        )  # fmt: skip


@_read.register
def _(value: Tensor, reader: _Reader) -> bytes:
    if value.layout != torch.strided:
        value = value.to_sparse().coalesce()
        return reader.joined(f"sparse {tuple(value.shape)}", (value.indices(), value.values()))
    # NumPy has no bfloat16: the bytes are read, and the torch dtype is part of the tag.
    flat = value.detach().cpu().contiguous().reshape(-1)
    return reader.array(f"tensor {value.dtype} {tuple(value.shape)}", flat.view(torch.uint8).numpy())


@_read.register
def _(value: np.ndarray, reader: _Reader) -> bytes:
    return reader.array("array", value)


@_read.register(list)
@_read.register(tuple)
def _(value: Any, reader: _Reader) -> bytes:
    return reader.joined(type(value).__name__, value)


@_read.register(set)
@_read.register(frozenset)
def _(value: Any, reader: _Reader) -> bytes:
    return reader.joined("set", sorted(reader.of(part) for part in value))


@_read.register(dict)
@_read.register(types.MappingProxyType)
def _(value: Any, reader: _Reader) -> bytes:
    return reader.joined("dict", (part for item in value.items() for part in item))


@_read.register
def _(value: enum.Enum, reader: _Reader) -> bytes:
    return reader.joined("enum", (type(value).__qualname__, value.name))


@_read.register
def _(value: Path, reader: _Reader) -> bytes:
    return reader.joined("path", (str(value),))


@_read.register(torch.dtype)
@_read.register(torch.device)
@_read.register(slice)
@_read.register(range)
@_read.register(types.BuiltinFunctionType)
@_read.register(np.ufunc)
def _(value: Any, reader: _Reader) -> bytes:
    return reader.joined("named", (getattr(value, "__module__", ""), getattr(value, "__qualname__", repr(value))))


@_read.register
def _(value: logging.Logger, reader: _Reader) -> bytes:
    return reader.joined("logger", (value.name,))


@_read.register
def _(value: np.random.Generator, reader: _Reader) -> bytes:
    return reader.joined("generator", (value.bit_generator.state,))


@_read.register(functools.partial)
def _(value: Any, reader: _Reader) -> bytes:
    return reader.joined("partial", (value.func, value.args, value.keywords))


@_read.register
def _(value: types.MethodType, reader: _Reader) -> bytes:
    return reader.joined("method", (value.__func__, value.__self__))


@_read.register(staticmethod)
@_read.register(classmethod)
def _(value: Any, reader: _Reader) -> bytes:
    return reader.joined("wrapped", (value.__func__,))


@_read.register(property)
def _(value: property, reader: _Reader) -> bytes:
    return reader.joined("property", (value.fget, value.fset))


@_read.register(functools.cached_property)
def _(value: Any, reader: _Reader) -> bytes:
    return reader.joined("property", (value.func,))


@_read.register
def _(value: types.ModuleType, reader: _Reader) -> bytes:
    return reader.joined("module", (value.__name__, _version(value.__name__) if _installed(value.__name__) else ""))


@_read.register
def _(value: nn.Module, reader: _Reader) -> bytes:
    """Class, parameters, every buffer, children, forward hooks and plain attributes; not the training flag."""
    own = vars(value)
    parts = {name: own[name] for name in ("_parameters", "_buffers", "_modules")}
    parts |= {name: list(own[name].values()) for name in _HOOKS}
    parts |= {name: content for name, content in _told(value, own).items() if name not in _MODULE_OWN}
    return reader._hash("nn.Module", reader.of(type(value)), reader.named("state", parts))


@_read.register(type)
def _(value: type, reader: _Reader) -> bytes:
    name = f"{value.__module__}.{value.__qualname__}"
    if _installed(value.__module__):
        return reader.joined("class", (name, _version(value.__module__)))
    body = {key: part for key, part in vars(value).items() if key not in _CLASS_NOISE and not _is_slot(part)}
    return reader._hash("class", reader.joined(name, value.__bases__), reader.code("body", body))


@_read.register
def _(value: types.FunctionType, reader: _Reader) -> bytes:
    """Bytecode, defaults, closure, and the globals it names: functions and constants, followed in turn."""
    original = getattr(value, "_torchdynamo_orig_callable", None)  # torch.compile: what was compiled
    if original is not None:
        return reader.of(original)
    name = f"{value.__module__}.{value.__qualname__}"
    if _installed(value.__module__):
        return reader.joined("function", (name, _version(value.__module__)))
    cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
    code = _code(value.__code__)
    used = {key: value.__globals__[key] for key in code[1] if key in value.__globals__}
    if value.__module__.startswith("neuroperc."):
        used = {key: _as_written(value.__module__, key, part) for key, part in used.items()}
    for key, module in list(used.items()):
        if isinstance(module, types.ModuleType) and not _installed(module.__name__):
            used |= {f"{key}.{inner}": vars(module)[inner] for inner in code[1] if inner in vars(module)}
    constant = {key: part if _telling(part) else type(part).__qualname__ for key, part in used.items()}
    rest = (code[0], value.__defaults__, value.__kwdefaults__, cells)
    return reader._hash("function", reader.joined(name, rest), reader.code("globals", constant))


def _told(value: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes without what was only derived: filled cached properties, and our modules' memos.

    A memo is a dictionary by (dtype, device): what it holds follows from the rest, and it grows as the module is used.
    """
    cls = type(value)
    ours = cls.__module__.startswith("neuroperc.")
    kept = {}
    for name, part in state.items():
        derived = isinstance(getattr(cls, name, None), functools.cached_property)
        memo = ours and name.startswith("_") and isinstance(part, dict) and all(map(_by_device, part))
        if not derived and not memo:
            kept[name] = part
    return kept


def _by_device(key: Any) -> bool:
    return isinstance(key, tuple) and len(key) == 2 and isinstance(key[0], torch.dtype)


def _as_written(module: str, name: str, value: Any) -> Any:
    """Return a module-level dictionary of ours as its source text: it may be a memo, which grows as it is used."""
    return _assignments(module).get(name, value) if isinstance(value, dict) else value


@functools.cache
def _assignments(module: str) -> dict[str, str]:
    """Return the source of every assignment at the top of a module."""
    found: dict[str, str] = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: ast.unparse(node) for target in targets if isinstance(target, ast.Name)}
    return found


def _telling(value: Any) -> bool:
    """Tell whether a global says what a function computes; caches and other mutable state do not."""
    if isinstance(value, tuple | frozenset | list):
        return all(_telling(part) for part in value)
    if isinstance(value, dict):
        return all(_telling(part) for item in value.items() for part in item)
    plain = bool | int | float | complex | str | bytes | np.generic | np.ndarray | Tensor | enum.Enum | types.ModuleType
    return value is None or isinstance(value, plain | type) or callable(value)


def _code(code: types.CodeType) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Return (bytecode, names and constants) and all global names, of nested functions too."""
    constants: list[Any] = []
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner, inner_names = _code(constant)
            constants.append(inner)
            names.extend(inner_names)
        else:
            constants.append(constant)
    return (code.co_code, code.co_names, code.co_varnames, tuple(constants)), tuple(dict.fromkeys(names))


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # an empty cell
        return False


def _is_slot(value: Any) -> bool:
    return isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType | types.WrapperDescriptorType)


@functools.cache
def _installed(module: str) -> bool:
    """Tell whether a module comes from an installed package, whose version stands for its code."""
    top = module.partition(".")[0]
    if top == "neuroperc":
        return False
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return top != "__main__"
    origin = getattr(sys.modules.get(top), "__file__", None) or ""
    return origin.startswith(_INSTALLED) or "site-packages" in origin


@functools.cache
def _version(module: str) -> str:
    top = module.partition(".")[0]
    known = getattr(sys.modules.get(top), "__version__", None)
    if isinstance(known, str):
        return known
    try:
        return metadata.version(top)
    except metadata.PackageNotFoundError:
        return sys.version.split()[0]
