"""What is written down of a component rebuilds it, and nothing else gets built."""

from __future__ import annotations

import copy
import io
import json
import math
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from graphnets.encoders import STGCN, Encoder
from graphnets.skeleton import Skeleton
from graphnets.spec import Configurable, from_spec, import_class, to_spec


class Leaf(Configurable):
    def __init__(self, size: int, name: str = "leaf", *, flag: bool = False, **extra: Any) -> None:
        super().__init__()
        self.size, self.name, self.flag, self.extra = size, name, flag, extra
        self.linear = nn.Linear(size, size)


class Branch(Configurable):
    def __init__(self, parts: dict[str, Configurable], skeletons: list[Skeleton], rest: Any = None) -> None:
        super().__init__()
        self.parts, self.skeletons, self.rest = nn.ModuleDict(parts), skeletons, rest


class Bare(Configurable):
    """No arguments, no ``__init__``."""


class Positional(Configurable):
    def __init__(self, *sizes: int) -> None:
        super().__init__()


class Outer:
    class Inner(Configurable):
        pass


class Kind(str, Enum):  # noqa: UP042  # its str() is not its value
    A = "a"


def round_trip(module: Configurable) -> Any:
    """Through JSON, YAML and a checkpoint, which must all agree."""
    spec = to_spec(module)
    file = io.BytesIO()
    torch.save(spec, file)
    file.seek(0)
    assert json.loads(json.dumps(spec)) == yaml.safe_load(yaml.safe_dump(spec)) == spec
    assert torch.load(file, weights_only=True) == spec
    rebuilt = from_spec(spec)
    assert to_spec(rebuilt) == spec
    return rebuilt


def test_round_trip_of_a_tree_of_components() -> None:
    kinect = Skeleton.load("kinect20")
    module = Branch(
        {"a": Leaf(3, flag=True), "skeleton": Leaf(2, "b", depth=4)},
        [kinect, Skeleton.load("imu_axes6")],
        rest={"numbers": (1, 2.5, None, True), "deep": [{"x": [Leaf(1)]}], "skeleton": kinect},
    )
    rebuilt = round_trip(module)
    assert isinstance(rebuilt, Branch)
    assert (rebuilt.parts["a"].size, rebuilt.parts["a"].flag) == (3, True)
    assert rebuilt.parts["skeleton"].extra == {"depth": 4}, "a part may be called 'skeleton'"
    assert rebuilt.skeletons == module.skeletons
    assert rebuilt.rest["numbers"] == [1, 2.5, None, True] and rebuilt.rest["skeleton"] == kinect
    assert rebuilt.rest["deep"][0]["x"][0].size == 1


def test_a_lone_part_may_be_called_skeleton() -> None:
    rebuilt = round_trip(Branch({"skeleton": Leaf(2)}, []))
    assert rebuilt.parts["skeleton"].size == 2


def test_round_trip_of_a_module_without_arguments() -> None:
    assert isinstance(round_trip(Bare()), Bare)


@pytest.mark.parametrize("given", ["kinect20", Skeleton.load("tan_imu8")])
def test_round_trip_of_an_encoder(given: Skeleton | str) -> None:
    rebuilt = round_trip(STGCN(given, 3, (4, 4), strides=(1, 2)))
    assert rebuilt.skeleton == (Skeleton.load(given) if isinstance(given, str) else given)
    assert (rebuilt.out_channels, rebuilt.time_stride) == (4, 2)


def test_only_given_arguments_are_recorded() -> None:
    assert to_spec(Leaf(3))["init_args"] == {"size": 3}
    assert to_spec(Leaf(3, "x", flag=True, more=1))["init_args"] == {"size": 3, "name": "x", "flag": True, "more": 1}


def test_copies_keep_their_spec() -> None:
    module = Leaf(3, "x")
    for twin in (copy.deepcopy(module), copy.copy(module)):
        assert to_spec(twin) == to_spec(module)


@pytest.mark.parametrize(
    ("value", "plain"), [(np.float64(0.5), 0.5), (Kind.A, "a"), (True, True), (math.pi, math.pi), (7, 7)]
)
def test_values_become_exactly_plain(value: Any, plain: Any) -> None:
    written = to_spec(Leaf(2, name=value))["init_args"]["name"]
    assert written == plain and type(written) is type(plain)


@pytest.mark.parametrize("value", [nn.ReLU(), torch.ones(2), Path("a"), np.float32(0.5), {1, 2}, nn.Linear])
def test_what_is_not_plain_is_refused_and_named(value: Any) -> None:
    with pytest.raises(ValueError, match=r"can't be stored in a checkpoint") as error:
        to_spec(Leaf(2, name=value))
    assert repr(value) in str(error.value) and type(value).__name__ in str(error.value)


def test_keys_must_be_strings() -> None:
    with pytest.raises(ValueError, match=r"must be strings, not \[1\]"):
        to_spec({"a": 1, 1: 2})


def test_arguments_need_names() -> None:
    with pytest.raises(ValueError, match=r"Positional takes \(1, 2\) by position alone, under the name 'sizes'"):
        Positional(1, 2)


def test_classes_must_stand_at_the_top_of_a_module() -> None:
    class Hidden(Configurable):
        pass

    for module in (Hidden(), Outer.Inner()):
        with pytest.raises(ValueError, match=r"defined inside a function or a class"):
            to_spec(module)


@pytest.mark.parametrize(
    "path",
    ["os.system", "subprocess.Popen", "torch.nn.Linear", "builtins.eval", "graphnets.spec.to_spec", "os.nothing"],
)
def test_other_callables_are_refused_before_they_are_called(path: str) -> None:
    spec = {"class_path": path, "init_args": {"command": "false"}}
    with pytest.raises(ValueError, match=r"is not a subclass of graphnets.spec.Configurable") as error:
        from_spec(spec)
    assert repr(path) in str(error.value)
    with pytest.raises(ValueError, match=r"is not a subclass"):
        from_spec({"class_path": f"{__name__}.Leaf", "init_args": {"size": spec}})


def test_base_holds_for_the_whole_but_not_for_its_parts() -> None:
    spec = to_spec(Branch({"a": Leaf(1)}, []))
    assert isinstance(from_spec(spec, Branch), Branch)
    with pytest.raises(ValueError, match=r"Branch' is not a subclass of graphnets.encoders.base.Encoder"):
        from_spec(spec, Encoder)
    with pytest.raises(ValueError, match=r"is not a subclass"):
        from_spec([{"x": spec}], Encoder)


@pytest.mark.parametrize("path", ["Leaf", "", ".Leaf", "..a.b", 3, None])
def test_what_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(ValueError, match=r"no import path; expected 'package.module.Class'") as error:
        from_spec({"class_path": path})
    assert repr(path) in str(error.value)


def test_missing_modules_are_named() -> None:
    with pytest.raises(ValueError, match=r"can't import 'no_such_file.Net' .*PYTHONPATH"):
        from_spec({"class_path": "no_such_file.Net"})


def test_a_class_of_a_script_is_explained() -> None:
    with pytest.raises(ValueError, match=r"defined in the script that trained it"):
        import_class("__main__.NoSuchNet", Configurable)


@pytest.mark.parametrize("arguments", [{"size": 2, "wdth": 3, "flg": True}, {}])
def test_arguments_that_do_not_fit_are_named(arguments: dict[str, Any]) -> None:
    path = f"{__name__}.Outerless"
    sys.modules[__name__].Outerless = type("Outerless", (Leaf,), {"__init__": _strict})  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"can't make .*Outerless' from the arguments") as error:
        from_spec({"class_path": path, "init_args": arguments})
    assert all(name in str(error.value) for name in arguments)
    assert "it takes size" in str(error.value)


def _strict(self: Leaf, size: int) -> None:
    Leaf.__init__(self, size)


def test_errors_inside_a_constructor_stay_as_they_are() -> None:
    with pytest.raises(ValueError, match="kernel is 4"):
        from_spec({"class_path": "graphnets.encoders.STGCN", "init_args": _even_kernel()})


def _even_kernel() -> dict[str, Any]:
    return {"skeleton": "kinect20", "in_channels": 3, "kernel": 4}
