"""Modules that remember how they were made, so that a checkpoint can rebuild them.

A checkpoint holds weights and a *spec*: the import path and the plain initial arguments of every component.
It loads with ``torch.load(weights_only=True)``; no class is ever unpickled.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any, TypeVar

from torch import nn

from graphnets.skeleton import Skeleton

_PLAIN = (str, int, float, bool, type(None))
T = TypeVar("T", bound="Configurable")


class Configurable(nn.Module):
    """Base of encoders, heads, losses, transforms and objectives: it records its initial arguments.

    Arguments must be plain values, :class:`~graphnets.skeleton.Skeleton`, other ``Configurable`` modules, or
    lists, tuples and dictionaries of these.
    """

    init_args: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Configurable:
        """Bind the arguments to the signature of ``__init__`` and keep them."""
        module = super().__new__(cls)
        # A copy is made by __new__ without arguments, then filled from the original: hence bind_partial.
        bound = inspect.signature(cls.__init__).bind_partial(module, *args, **kwargs)
        recorded: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            kind = bound.signature.parameters[name].kind
            recorded.update(value if kind is inspect.Parameter.VAR_KEYWORD else {name: value})
        module.__dict__["init_args"] = recorded
        return module


def to_spec(value: Any) -> Any:
    """Turn a component into plain data: ``{"class_path": ..., "init_args": {...}}``.

    Args:
        value: A :class:`Configurable`, a skeleton, a plain value, or a list, tuple or dictionary of these.

    Returns:
        Numbers, strings, lists and dictionaries only, fit for YAML, JSON and a ``weights_only`` checkpoint.

    Raises:
        ValueError: ``value`` holds something that can't be written down as plain data.
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Configurable):
        cls = type(value)
        return {
            "class_path": f"{cls.__module__}.{cls.__qualname__}",
            "init_args": {k: to_spec(v) for k, v in value.init_args.items()},
        }
    if isinstance(value, Skeleton):
        return {"skeleton": value.to_dict()}
    if isinstance(value, (list, tuple)):
        return [to_spec(v) for v in value]
    if isinstance(value, dict):
        return {str(k): to_spec(v) for k, v in value.items()}
    raise ValueError(
        f"{value!r} ({type(value).__name__}) can't be stored in a checkpoint: initial arguments must be plain "
        "values, skeletons or graphnets.Configurable modules"
    )


def from_spec(spec: Any, base: type[Configurable] = Configurable) -> Any:
    """Rebuild what :func:`to_spec` wrote.

    Args:
        spec: Plain data.
        base: What a class path must be a subclass of. Anything else is refused before it is called, so a
            checkpoint from elsewhere can't run arbitrary callables.

    Raises:
        ValueError: The class can't be imported or is no ``base``.
    """
    if isinstance(spec, list):
        return [from_spec(v, base) for v in spec]
    if not isinstance(spec, dict):
        return spec
    if set(spec) == {"skeleton"} and isinstance(spec["skeleton"], dict):
        return Skeleton.from_dict(spec["skeleton"])
    if "class_path" not in spec:
        return {k: from_spec(v, base) for k, v in spec.items()}
    cls = import_class(spec["class_path"], base)
    return cls(**{k: from_spec(v, base) for k, v in spec.get("init_args", {}).items()})


def import_class(path: str, base: type[T]) -> type[T]:
    """Import ``package.module.Class`` and check that it is a subclass of ``base``.

    Raises:
        ValueError: There is no such class, or it isn't a subclass of ``base``.
    """
    module_name, _, name = path.rpartition(".")
    try:
        found: Any = importlib.import_module(module_name) if module_name else None
    except ImportError as error:
        raise ValueError(
            f"can't import {path!r} ({error}); is the file that defines it on PYTHONPATH?"
        ) from error
    found = getattr(found, name, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(f"{path!r} is not a subclass of {base.__module__}.{base.__qualname__}")
    return found
