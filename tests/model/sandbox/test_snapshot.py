"""How single objects are remembered and put back."""

from __future__ import annotations

import contextlib
import enum
import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings
import weakref
from collections import OrderedDict, UserDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy
import pytest
import torch
from torch import nn

from gradcheck_health.model.sandbox import process, sandbox, snapshot
from gradcheck_health.model.sandbox.ownership import is_apart, is_persons, is_record
from gradcheck_health.model.sandbox.process import process_guard
from gradcheck_health.model.sandbox.reversible import Reversible
from gradcheck_health.model.sandbox.saved_tensor import SavedGradient, SavedTensor
from gradcheck_health.model.sandbox.snapshot import Snapshot


@contextlib.contextmanager
def put_back(*roots: Any) -> Iterator[None]:
    memory = Snapshot()
    memory.remember(roots)
    yield
    memory.restore()


class Same:
    """Equal to every other one."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same)

    def __hash__(self) -> int:
        return 1


def test_list_with_another_element_in_its_place() -> None:
    first, second = Same(), Same()
    held = [first, 1]
    with put_back(held):
        held[0] = second
    assert held[0] is first and held == [first, 1]


def test_set_with_an_equal_member_in_its_place() -> None:
    first = Same()
    held = {first}
    with put_back(held):
        held.clear()
        held.add(Same())
    assert next(iter(held)) is first


def test_deque_keeps_its_limit() -> None:
    held = deque([1, 2], maxlen=2)
    with put_back(held):
        held.append(3)
    assert list(held) == [1, 2] and held.maxlen == 2


def test_dict_with_an_equal_key_or_value_in_its_place() -> None:
    key, value = Same(), Same()
    held = {key: value}
    with put_back(held):
        del held[key]
        held[Same()] = value
    assert next(iter(held)) is key
    with put_back(held):
        held[key] = Same()
    assert held[key] is value


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_dict_in_another_order(kind: Any) -> None:
    held = kind(a=1, b=2)
    with put_back(held):
        held["a"] = held.pop("a")
    assert list(held) == ["a", "b"]


def test_dict_that_computes_what_it_shows() -> None:
    class Odd(OrderedDict[str, int]):
        def __iter__(self) -> Iterator[str]:
            raise NotImplementedError

        keys = values = items = __iter__  # type: ignore[assignment]

        def clear(self) -> None:
            raise NotImplementedError

    held = Odd()
    dict.__setitem__(held, "a", 1)
    held.hits = [0]  # type: ignore[attr-defined]
    OrderedDict.__setitem__(held, "b", 2)
    with put_back(held):
        OrderedDict.__setitem__(held, "c", 3)
        held.hits.append(1)  # type: ignore[attr-defined]
    assert "c" not in held
    assert held.hits == [0]  # type: ignore[attr-defined]


def test_unchanged_containers_are_not_written_to() -> None:
    class Written(list[int]):
        times = 0

        def clear(self) -> None:
            type(self).times += 1
            super().clear()

    held = Written([1, 2])
    with put_back(held):
        pass
    assert Written.times == 0


def test_weak_containers_forget_who_has_died() -> None:
    stays, dies = Same(), Same()
    values = weakref.WeakValueDictionary({"stays": stays, "dies": dies})
    tags = weakref.WeakKeyDictionary()
    tags[stays] = 1
    group: weakref.WeakSet[Any] = weakref.WeakSet([stays])
    with put_back([values, group, tags]):
        del dies, values["stays"]
        tags[stays] = 2
        group.clear()
    assert list(values.items()) == [("stays", stays)]
    assert len(values) == 1
    assert dict(tags) == {stays: 1}
    assert list(group) == [stays]


def test_member_of_a_weak_set_that_died_stays_away() -> None:
    class One:
        pass

    alive, dead = One(), One()
    group: weakref.WeakSet[Any] = weakref.WeakSet([alive, dead])
    with put_back(group):
        del dead
        group.clear()
    assert list(group.data) == [weakref.ref(alive)]


def test_class_attributes_new_gone_and_changed() -> None:
    class Net(nn.Module):
        calls, gone, cache = 0, 1, [1]

        def method(self) -> int:
            return 1

    method = Net.method
    with put_back(Net()):
        Net.calls, Net.new = 5, 6  # type: ignore[attr-defined]
        del Net.gone
        Net.cache.append(2)
        Net.method = lambda self: 2  # type: ignore[method-assign,assignment]
    assert (Net.calls, Net.gone, Net.cache, Net.method) == (0, 1, [1], method)
    assert not hasattr(Net, "new")


def test_classes_of_torch_are_left_alone() -> None:
    with put_back(nn.Linear(1, 1)):
        nn.Linear.marked = 1  # type: ignore[attr-defined]
    assert nn.Linear.marked == 1  # type: ignore[attr-defined]
    del nn.Linear.marked  # type: ignore[attr-defined]


def test_arrays_of_every_kind() -> None:
    plain, objects, read_only = numpy.zeros(2), numpy.array([[1], None], dtype=object), numpy.zeros(2)
    read_only.flags.writeable = False
    inner = objects[0]
    with put_back([plain, objects, read_only]):
        plain += 1
        inner.append(2)
        objects[0], objects[1] = "other", "set"
    assert plain.tolist() == [0.0, 0.0]
    assert objects[0] is inner and inner == [1] and objects[1] is None


def test_generators_of_every_kind() -> None:
    held = [torch.Generator(), random.Random(1), numpy.random.default_rng(1), numpy.random.RandomState(1)]
    own, python, new, old = held

    def drawn() -> list[float]:
        return [float(torch.rand(1, generator=own)), python.random(), new.random(), old.rand()]

    with put_back(held):
        first = drawn()
    assert drawn() == first


def test_generator_of_the_system_has_no_state() -> None:
    with put_back([random.SystemRandom()]):
        pass


class Slim:
    __slots__ = ("later", "value")

    def __init__(self) -> None:
        self.value = [1]


def test_slots_set_unset_and_changed() -> None:
    held = Slim()
    value = held.value
    with put_back(SimpleNamespace(held=held)):
        held.later = 1
        held.value.append(2)
        held.value = [3]
    assert held.value is value and value == [1]
    assert not hasattr(held, "later")
    with put_back(held):
        del held.value
    assert held.value is value


def test_what_a_function_holds() -> None:
    seen, count = [1], 0

    def told(extra: Any = [7], *, more: Any = [8]) -> None:  # noqa: B006
        nonlocal count
        count += 1
        seen.append(count)
        extra.append(1)
        more.append(1)

    unset: Any
    held = [told, partial(told, [9]), lambda: unset]
    with put_back(held):
        told()
        held[1]()
        told.mark = 1  # type: ignore[attr-defined]
    assert (seen, count) == ([1], 0)
    assert told.__defaults__ == ([7],) and told.__kwdefaults__ == {"more": [8]}
    assert held[1].args == ([9],)
    assert vars(told) == {}
    unset = 1


def test_object_behind_a_bound_method() -> None:
    class Log:
        def __init__(self) -> None:
            self.lines = ["first"]

        def write(self) -> None:
            self.lines.append("more")

    log = Log()
    with put_back([log.write]):
        log.write()
    assert log.lines == ["first"]


def test_every_error_is_waited_for_and_the_first_one_is_raised() -> None:
    class Refuses(list[Any]):
        def clear(self) -> None:
            raise ValueError("no")

    other, refuses = [1], Refuses([1])
    memory = Snapshot()
    memory.remember([other, refuses, [other]])
    refuses.append(2)
    other.append(2)
    with pytest.raises(ValueError, match="no"):
        memory.restore()
    assert other == [1]


def test_plain_objects_are_followed_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    class Chain:
        def __init__(self, depth: int) -> None:
            self.depth, self.next = depth, Chain(depth - 1) if depth else None

    def restored() -> int:
        chain = Chain(20)
        links = [chain]
        while links[-1].next is not None:
            links.append(links[-1].next)
        with put_back(chain):
            for link in links:
                link.depth = -1
        return sum(link.depth != -1 for link in links)

    assert restored() == 21
    monkeypatch.setattr(snapshot, "ROOM", 12)
    assert 0 < restored() < 21


def test_large_tensor_behind_a_plain_object_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    class Data:
        def __init__(self, size: int) -> None:
            self.rows = torch.zeros(size)

    monkeypatch.setattr(snapshot, "ROOM", 8)
    model = nn.Module()
    model.small, model.own = Data(16), torch.zeros(100_000)
    large = Data(100_000)
    for data, kept in ((model.small, True), (large, False)):
        with put_back(SimpleNamespace(data=data)):
            data.rows += 1
        assert bool((data.rows == 0).all()) is kept
    with put_back(model):
        model.own += 1
    assert bool((model.own == 0).all())  # what a module holds itself has no limit


class Colour(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int = 0


@pytest.mark.parametrize(
    ("value", "record", "apart"),
    [
        (SimpleNamespace(), True, True),
        (UserDict(), True, True),
        (Point(), True, True),
        (Slim(), False, True),
        (Same(), False, True),
        (lambda: 0, False, True),
        ("".join, False, False),
        (torch.optim.SGD([torch.zeros(1)]), False, True),
        (torch.distributions.Normal(0.0, 1.0), False, True),
        (torch.utils.data.TensorDataset(torch.zeros(1)), False, False),
        (threading.Lock(), False, False),
        (logging.getLogger(), False, False),
        (threading.Event(), False, False),
        (logging.info, False, False),
        (object(), False, False),
        (iter([]), False, False),
    ],
)
def test_what_is_examined(value: Any, record: bool, apart: bool) -> None:
    assert is_record(value) is record
    if not record:
        assert is_apart(value) is apart


def test_whose_a_class_is() -> None:
    assert is_persons(Slim)
    assert not any(map(is_persons, (dict, nn.Linear, numpy.ndarray, Snapshot, threading.Thread, OrderedDict)))
    main = type("Net", (), {"__module__": "__main__"})
    odd = type("Net", (), {"__module__": None})
    assert is_persons(main) and is_persons(odd)


@pytest.mark.parametrize("order", [1, -1])
def test_each_function_is_judged_by_itself(order: int) -> None:
    """One of torch's says nothing about the next one."""
    counted = [0]

    def own() -> None:
        counted[0] += 1

    model = nn.Linear(2, 2)
    for name, function in list({"activation": nn.functional.relu, "own": own}.items())[::order]:
        setattr(model, name, function)
    memory = Snapshot()
    memory.remember([model])
    own()
    memory.restore()
    assert counted == [0]


def test_tensor_resized_to_nothing_comes_back() -> None:
    tensor = torch.arange(6.0)
    saved = SavedTensor(tensor)
    tensor.untyped_storage().resize_(0)
    saved.restore()
    assert tensor.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(2, 3).t(),
        lambda: torch.zeros(1, 3).expand(4, 3),
        lambda: torch.zeros(6).unfold(0, 3, 1),
        lambda: torch.zeros(6).as_strided((2, 2), (1, 1)),
        lambda: torch.zeros(6, 6)[::2, 1::2],
        lambda: torch.zeros(2, 1, 3).transpose(0, 1),
        lambda: torch.zeros(()),
        lambda: torch.zeros(0, 3),
        lambda: torch.full((2,), float("nan")),
    ],
)
def test_views_come_back_with_what_lies_under_them(make: Any) -> None:
    tensor = make()
    pointer, before = tensor.data_ptr(), tensor.clone()
    saved = SavedTensor(tensor)
    torch.empty(0).set_(tensor.untyped_storage()).fill_(7.0)
    saved.restore()
    assert tensor.data_ptr() == pointer
    assert torch.equal(tensor.nan_to_num(3.0), before.nan_to_num(3.0))


def test_shape_dtype_and_place_come_back() -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    for other in (torch.zeros(3, 2), torch.zeros(2, 3, dtype=torch.float64), torch.arange(6.0).reshape(2, 3), tensor.t()):
        saved, pointer = SavedTensor(tensor), tensor.data_ptr()
        tensor.data = other
        saved.restore()
        assert (tensor.shape, tensor.dtype, tensor.stride(), tensor.data_ptr()) == ((2, 3), torch.float32, (3, 1), pointer)


def test_gradient_and_the_hooks_behind_it() -> None:
    leaf = nn.Parameter(torch.ones(2))
    ran: list[str] = []
    leaf.register_post_accumulate_grad_hook(lambda p: ran.append("own"))
    grad = leaf.grad = torch.zeros(2)
    saved = SavedGradient(leaf)
    saved.detach()
    assert leaf.grad is None
    leaf.register_post_accumulate_grad_hook(lambda p: ran.append("late"))
    saved.restore()
    assert leaf.grad is grad
    leaf.sum().backward()
    assert ran == ["own"]


def test_first_hook_of_a_leaf_goes_again() -> None:
    leaf, ran = nn.Parameter(torch.ones(2)), list[int]()
    saved = SavedGradient(leaf)
    leaf.register_post_accumulate_grad_hook(lambda p: ran.append(1))
    saved.restore()
    leaf.sum().backward()
    assert ran == [] and leaf._post_accumulate_grad_hooks is None


def test_hooks_of_a_tensor_come_back_one_by_one() -> None:
    tensor = nn.Parameter(torch.ones(2))
    handle = tensor.register_hook(lambda gradient: gradient * 3)
    saved = SavedTensor(tensor)
    handle.remove()
    tensor.register_hook(lambda gradient: gradient * 5)
    saved.restore()
    tensor.sum().backward()
    assert tensor.grad is not None and tensor.grad.tolist() == [3.0, 3.0]
    bare = nn.Parameter(torch.ones(2))
    saved = SavedTensor(bare)
    bare.register_hook(lambda gradient: gradient * 5)
    saved.restore()
    assert bare._backward_hooks is None


def test_requires_grad_comes_back() -> None:
    for wanted in (True, False):
        tensor = torch.ones(2, requires_grad=wanted)
        saved = SavedTensor(tensor)
        tensor.requires_grad_(not wanted)
        saved.restore()
        assert tensor.requires_grad is wanted


@pytest.fixture
def alarms() -> Iterator[list[int]]:
    """What the handler of SIGALRM has seen."""
    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
    yield seen
    signal.signal(signal.SIGALRM, before)


def test_signals_wait_while_things_change_hands(alarms: list[int]) -> None:
    order: list[str] = []

    def prepare(undo: contextlib.ExitStack) -> None:
        signal.raise_signal(signal.SIGALRM)
        order.append(f"prepared, {len(alarms)} came")
        undo.callback(lambda: order.append(f"put back, {len(alarms)} came"))
        undo.callback(signal.raise_signal, signal.SIGALRM)

    handler = signal.getsignal(signal.SIGALRM)
    with Reversible(prepare):
        order.append(f"inside, {len(alarms)} came")
        signal.raise_signal(signal.SIGALRM)
        order.append(f"still inside, {len(alarms)} came")
    assert order == ["prepared, 0 came", "inside, 1 came", "still inside, 2 came", "put back, 2 came"]
    assert len(alarms) == 3
    assert signal.getsignal(signal.SIGALRM) is handler


def test_signal_on_the_way_in_of_an_inner_block_waits_for_it_alone(alarms: list[int]) -> None:
    def prepare(undo: contextlib.ExitStack) -> None:
        undo.callback(signal.raise_signal, signal.SIGALRM)

    with Reversible(lambda undo: None):
        with Reversible(prepare):
            assert alarms == []
        assert len(alarms) == 1


def test_what_was_prepared_is_put_back_where_the_rest_fails(alarms: list[int]) -> None:
    done: list[str] = []

    def prepare(undo: contextlib.ExitStack) -> None:
        undo.callback(done.append, "put back")
        raise ValueError("halfway")

    handler = signal.getsignal(signal.SIGALRM)
    with pytest.raises(ValueError, match="halfway"), Reversible(prepare):
        done.append("never")
    assert done == ["put back"]
    assert signal.getsignal(signal.SIGALRM) is handler


def test_ignored_signals_are_left_ignored() -> None:
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    try:
        with Reversible(lambda undo: undo.callback(signal.raise_signal, signal.SIGALRM)):
            assert signal.getsignal(signal.SIGALRM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGALRM, before)


def test_other_threads_have_no_signals() -> None:
    seen: list[Any] = []

    def work() -> None:
        with process_guard():
            torch.set_default_dtype(torch.float64)
        seen.append(torch.get_default_dtype())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [torch.float32]


def test_hooks_of_every_module_come_back_with_those_that_were_there() -> None:
    seen: list[str] = []
    own = nn.modules.module.register_module_forward_hook(lambda *_: seen.append("own"))
    try:
        with process_guard():
            own.remove()
            nn.modules.module.register_module_forward_hook(lambda *_: seen.append("late"))
        nn.Identity()(1)
        assert seen == ["own"]
    finally:
        own.remove()
    nn.Identity()(1)
    assert seen == ["own"]


def test_path_and_filters_come_back_as_the_same_lists_with_the_same_entries() -> None:
    path, filters = sys.path, warnings.filters
    entries, kept = list(path), list(filters)
    with process_guard():
        sys.path, warnings.filters = ["/other"], []  # type: ignore[assignment]
        path.append("/nowhere")
        filters.clear()  # type: ignore[attr-defined]
    assert sys.path is path and path == entries
    assert warnings.filters is filters and list(filters) == kept


def test_filters_that_come_back_apply_again_to_lines_that_have_warned() -> None:
    def warn() -> None:
        warnings.warn("again", stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with process_guard():
            warnings.simplefilter("ignore")
            warn()
        with pytest.raises(UserWarning, match="again"):
            warn()


def test_folder_that_is_gone_is_no_folder_to_go_back_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with process_guard():
        os.chdir(tmp_path)
    assert Path.cwd() == tmp_path


def test_default_device_that_was_set_stays_set() -> None:
    """It is one of the modes, and has to leave as the object that came."""
    torch.set_default_device("meta")
    try:
        context = torch._GLOBAL_DEVICE_CONTEXT.device_context
        with process_guard():
            torch.set_default_device("cpu")
            assert torch.zeros(1).device.type == "cpu"
        assert torch._GLOBAL_DEVICE_CONTEXT.device_context is context
        assert torch.zeros(1).is_meta
    finally:
        torch.set_default_device(None)
    assert torch.zeros(1).device.type == "cpu"
    assert torch._C._len_torch_function_stack() == 0


def test_hooks_of_saved_tensors_that_were_there_stay() -> None:
    packed: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        packed.append(1)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with process_guard():
            torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor).__enter__()
        torch.ones(1, requires_grad=True).square()
    assert packed == [1]
    torch.ones(1, requires_grad=True).square()
    assert packed == [1]


def test_precision_set_through_the_newer_interface_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses() -> str:
        raise RuntimeError("set through the newer interface")

    told: list[str] = []
    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuses)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", told.append)
    with process_guard():
        pass
    assert told == []


def test_settings_that_did_not_change_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch refuses some of them where they are frozen, and others take a second."""
    told: list[Any] = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *args, **named: told.append(args))
    with process_guard():
        torch.manual_seed(1)
    assert told == []


@pytest.mark.parametrize("wanted", [True, False])
def test_modes_come_back_whatever_they_were(wanted: bool) -> None:
    before = torch.is_grad_enabled(), torch.is_anomaly_enabled(), gc.isenabled()
    try:
        torch._C._set_grad_enabled(wanted)
        torch.autograd.set_detect_anomaly(wanted, check_nan=not wanted)
        gc.enable() if wanted else gc.disable()
        torch.set_flush_denormal(wanted)
        with process_guard():
            torch._C._set_grad_enabled(not wanted)
            torch.autograd.set_detect_anomaly(not wanted, check_nan=wanted)
            gc.disable() if wanted else gc.enable()
            torch.set_flush_denormal(not wanted)
        assert torch.is_grad_enabled() is wanted
        assert (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()) == (wanted, not wanted)
        assert gc.isenabled() is wanted
        assert (float("1e-310") * float("1") == 0.0) is wanted
    finally:
        torch._C._set_grad_enabled(before[0])
        torch.autograd.set_detect_anomaly(before[1], check_nan=True)
        gc.enable()
        torch.set_flush_denormal(False)


def test_umask_is_what_it_was_inside_the_block_too() -> None:
    before = os.umask(0o027)
    try:
        with process_guard():
            assert os.umask(0o077) == 0o027
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


@pytest.mark.parametrize("initialized", [True, False])
def test_generators_of_accelerators_that_are_in_use(initialized: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: initialized)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: ["state"])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", told.append)
    with process_guard():
        pass
    assert told == ([["state"]] if initialized else [])


def test_dict_is_never_empty_for_who_reads_it_meanwhile() -> None:
    held = {"a": 1, "b": 2}
    sizes: list[int] = []
    memory = Snapshot()
    memory.remember([held])
    held["b"] = 5
    held["c"] = 3

    def look(frame: Any, event: str, argument: Any) -> Any:
        sizes.append(len(held))
        return look

    sys.settrace(look)
    try:
        memory.restore()
    finally:
        sys.settrace(None)
    assert held == {"a": 1, "b": 2}
    assert min(sizes) == 2


def test_setting_that_is_refused_keeps_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"first": 1, "second": 1, "third": 1}

    def setting(name: str) -> Any:
        def put(saved: int) -> None:
            if name == "second":
                raise RuntimeError("refused")
            values[name] = saved

        return lambda: values[name], put

    monkeypatch.setattr(process, "_SETTINGS", [setting(name) for name in values])
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="refused"), process_guard():
        values.update(first=2, second=2, third=torch.seed())
    assert values == {"first": 1, "second": 2, "third": 1}
    assert torch.equal(torch.get_rng_state(), state)


def test_environment_comes_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADHEALTH_KEPT", "\udcff=\u00e4")
    before = dict(os.environ)
    with process_guard():
        os.environ["GRADHEALTH_NEW"] = "1"
        os.environ["GRADHEALTH_KEPT"] = "other"
        del os.environ["PATH"]
    assert dict(os.environ) == before
    assert os.getenv("GRADHEALTH_NEW") is None and os.environb[b"GRADHEALTH_KEPT"] == "\udcff=\u00e4".encode(
        "utf-8", "surrogateescape"
    )


class Grown(nn.Module):
    """Whose forward may change what a snapshot follows."""

    table: ClassVar[dict[str, int]] = {"a": 1}

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen, self.by_name, self.kept = nn.Linear(2, 2), [1], {"a": [1]}, SimpleNamespace(values=[1])
        self.of_closure = self.counter()

    @staticmethod
    def counter() -> Any:
        count = [0]

        def step() -> int:
            nonlocal count
            count = [*count, 1]
            return len(count)

        return step


CHANGES: dict[str, Any] = {
    "nothing": lambda model: None,
    "a new attribute": lambda model: setattr(model, "fresh", [1]),
    "a longer list": lambda model: model.seen.append(2),
    "another list": lambda model: setattr(model, "seen", [3]),
    "a key of a dict": lambda model: model.by_name.update(b=[2]),
    "inside a plain object": lambda model: setattr(model.kept, "values", [2]),
    "a hook on a module": lambda model: model.layer.register_forward_hook(lambda *_: None),
    "a hook on a weight": lambda model: model.layer.weight.register_hook(lambda gradient: None),
    "another parameter": lambda model: setattr(model.layer, "weight", nn.Parameter(torch.ones(2, 2))),
    "an attribute of a weight": lambda model: setattr(model.layer.weight, "note", [1]),
    "bytes": lambda model: model.layer.weight.data.fill_(3.0),
    "a closure": lambda model: model.of_closure(),
    "a class": lambda model: setattr(Grown, "table", {"a": 2}),
}


@pytest.mark.parametrize("between", CHANGES)
@pytest.mark.parametrize("inside", CHANGES)
def test_sandbox_inside_another_puts_back_what_it_found(between: str, inside: str) -> None:
    """Whatever has changed since the outer one was opened, and whatever changes in it."""

    def state(model: Grown) -> str:
        hooks = len(model.layer._forward_hooks), len(model.layer.weight._backward_hooks or ())
        counted = model.of_closure.__closure__[0].cell_contents
        found = (vars(model).get("fresh"), model.seen, model.by_name, model.kept, vars(model.layer.weight), counted)
        return repr((*found, hooks, Grown.table, model.layer.weight.tolist()))

    torch.manual_seed(0)
    model = Grown()
    first = state(model)
    with sandbox(model):
        CHANGES[between](model)
        before = state(model)
        with sandbox(model):
            assert state(model) == before
            CHANGES[inside](model)
            if hasattr(model, "fresh"):
                model.fresh.append(2)
            model.seen.append(4)
        assert state(model) == before
    assert state(model) == first


def test_sandbox_inside_another_follows_nothing_again_where_nothing_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Grown()
    followed: list[int] = []
    follow = Snapshot._follow
    monkeypatch.setattr(Snapshot, "_follow", lambda self, *args: followed.append(1) or follow(self, *args))
    with sandbox(model):
        outer = len(followed)
        with sandbox(model):
            model.layer(torch.ones(1, 2))
        assert len(followed) == outer > 0
        model.seen.append(1)
        with sandbox(model):
            assert len(followed) > outer
