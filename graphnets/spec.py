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

_PLAIN = (bool, str, int, float)  # bool is an int too, so it comes first
T = TypeVar("T", bound="Configurable")


class Configurable(nn.Module):
    """Base of encoders, heads, losses, transforms and objectives: it records its initial arguments.

    Arguments must be plain values, :class:`~graphnets.skeleton.Skeleton`, other ``Configurable`` modules, or
    lists, tuples and dictionaries of these. They need names: ``*args`` can't be passed to.
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
            if kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
                raise ValueError(
                    f"{cls.__qualname__} takes {value!r} by position alone, under the name {name!r}, but a checkpoint "
                    "rebuilds it by keywords: make it an argument with a name (a list, if there are several values)"
                )
            recorded.update(value if kind is inspect.Parameter.VAR_KEYWORD else {name: value})
        module.__dict__["init_args"] = _own(recorded)
        return module


def _own(value: Any) -> Any:
    """The same with lists and dictionaries of its own, so that the caller's changes don't reach a checkpoint."""
    if type(value) is dict:
        return {k: _own(v) for k, v in value.items()}
    return type(value)(map(_own, value)) if type(value) in (list, tuple) else value


def to_spec(value: Any) -> Any:
    """Turn a component into plain data: ``{"class_path": ..., "init_args": {...}}``.

    Args:
        value: A :class:`Configurable`, a skeleton, a plain value, or a list, tuple or dictionary of these.

    Returns:
        Numbers, strings, lists and dictionaries only, fit for YAML, JSON and a ``weights_only`` checkpoint.

    Raises:
        ValueError: ``value`` holds something that can't be written down as plain data.
    """
    if value is None:
        return None
    for plain in _PLAIN:
        if isinstance(value, plain):
            # Subclasses become plain (NumPy's floats, string enumerations): no checkpoint may hold them.
            return str.__str__(value) if isinstance(value, str) else plain(value)
    if isinstance(value, Configurable):
        cls = type(value)
        if "." in cls.__qualname__:
            raise ValueError(
                f"{cls.__qualname__!r} is defined inside a function or a class, where a checkpoint can't find it "
                f"again: move it to the top of the module {cls.__module__}"
            )
        return {
            "class_path": f"{cls.__module__}.{cls.__qualname__}",
            "init_args": {k: to_spec(v) for k, v in value.init_args.items()},
        }
    if isinstance(value, Skeleton):
        return {"skeleton": value.to_dict()}
    if isinstance(value, (list, tuple)):
        return [to_spec(v) for v in value]
    if isinstance(value, dict):
        strange = [k for k in value if not isinstance(k, str)]
        if strange:
            raise ValueError(f"the keys of a dictionary in a checkpoint must be strings, not {strange}")
        return {str(k): to_spec(v) for k, v in value.items()}
    raise ValueError(
        f"{value!r} ({type(value).__name__}) can't be stored in a checkpoint: initial arguments must be plain "
        "values, skeletons or graphnets.Configurable modules"
    )


def from_spec(spec: Any, base: type[Configurable] = Configurable) -> Any:
    """Rebuild what :func:`to_spec` wrote.

    Args:
        spec: Plain data.
        base: What a class path must be a subclass of; the components that it is made from may be any
            :class:`Configurable`. Anything else is refused before it is called, so a checkpoint from elsewhere
            can't run arbitrary callables.

    Raises:
        ValueError: The class can't be imported, is no ``base``, or doesn't take the arguments.
    """
    if isinstance(spec, list):
        return [from_spec(v, base) for v in spec]
    if not isinstance(spec, dict):
        return spec
    inner = spec.get("skeleton")
    if len(spec) == 1 and isinstance(inner, dict) and "joints" in inner:  # a modality may be called "skeleton" too
        return Skeleton.from_dict(inner)
    if "class_path" not in spec:
        return {k: from_spec(v, base) for k, v in spec.items()}
    cls = import_class(spec["class_path"], base)
    arguments = {k: from_spec(v) for k, v in (spec.get("init_args") or {}).items()}
    try:
        inspect.signature(cls.__init__).bind(None, **arguments)
    except TypeError as error:
        taken = ", ".join(list(inspect.signature(cls.__init__).parameters)[1:])
        raise ValueError(
            f"can't make {spec['class_path']!r} from the arguments {', '.join(arguments)}: {error}; it takes {taken}"
        ) from error
    return cls(**arguments)


def import_class(path: str, base: type[T]) -> type[T]:
    """Import ``package.module.Class`` and check that it is a subclass of ``base``.

    Raises:
        ValueError: There is no such class, or it isn't a subclass of ``base``.
    """
    module_name, _, name = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    if not module_name or module_name.startswith("."):
        raise ValueError(f"{path!r} is no import path; expected 'package.module.Class'")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"can't import {path!r} ({error}); is the file that defines it on PYTHONPATH?") from error
    found: Any = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        hint = "; it was defined in the script that trained it: put it in a file" if module_name == "__main__" else ""
        raise ValueError(f"{path!r} is not a subclass of {base.__module__}.{base.__qualname__}{hint}")
    return found
