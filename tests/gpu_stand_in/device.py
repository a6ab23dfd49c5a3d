"""A CUDA device that is not there: numbers computed on the CPU, behind tensors that say they are on ``cuda:0``.

The values are real, so that code that depends on data runs on, and what a sampler gives must equal what it gives on the
CPU. Noted on the way, each with the lines of the project that did it:

- ``mismatch``: an operation meets tensors of both devices and would raise on a GPU, or a generator of the other one;
- ``wait``: the host waits for the device (``item``, a copy to the CPU, a boolean mask, ``nonzero``);
- ``copy``: something is copied to the device;
- ``launches``: operations that would start at least one kernel (views are none).

It cannot see kernels, memory or speed, and needs a build of torch without CUDA, on Linux.
"""

from __future__ import annotations

import ctypes
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

ROOT = Path(__file__).parents[2]
ROOMS = tuple(f"{ROOT}/{name}/" for name in ("phys_samplers", "plugins", "registry", "benchmarks"))
CUDA = torch.device("cuda:0")
_TO_COPY = torch.ops.aten._to_copy.default
_Generator = torch.Generator
T = TypeVar("T")

WAITS = {
    "aten::_local_scalar_dense": "item",
    "aten::nonzero": "nonzero",
    "aten::masked_select": "masked_select",
    "aten::_unique2": "unique",
    "aten::unique_dim": "unique",
    "aten::unique_consecutive": "unique",
    "aten::bincount": "bincount",
    "aten::equal": "equal",
    "aten::is_nonzero": "bool",
    "aten::_linalg_check_errors": "torch.linalg looks for errors",
}
"""Operations whose result decides what the host does next."""
INDEXING = ("aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_", "aten::_unsafe_index")
FREE = {
    *("aten::detach", "aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty"),
    *("aten::new_empty_strided", "aten::alias", "aten::lift_fresh", "aten::_local_scalar_dense", "aten::set_"),
    "aten::resize_",
}
"""Operations that start no kernel."""
SCALARS_OK = (
    *("aten::_foreach", "aten::_fused", "aten::where", "aten::fill", "aten::lerp", "aten::clamp", "aten::pow"),
    *("aten::add", "aten::mul", "aten::sub", "aten::div", "aten::masked_fill", "aten::copy"),
)
"""Operations that take numbers of the CPU (tensors without an axis) beside tensors of the device."""
COMPOSED = {"quantile": 12, "nanquantile": 12}
"""Functions whose parts torch makes on the tensor's true device, which is the CPU here; about so many launches."""
MOVES = (torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.cuda, torch.Tensor.type_as)


class Log:
    """What was noted while something ran."""

    def __init__(self) -> None:
        self.mismatches: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.launches = 0


_log = Log()
_to_cpu_wanted = False


def _where(what: str) -> str:
    """The innermost lines of the project that led here."""
    frame, found = sys._getframe(1), []
    while frame is not None and len(found) < 3:
        name = frame.f_code.co_filename
        if name.startswith(ROOMS):
            found.append(f"{name.removeprefix(f'{ROOT}/')}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return f"{what} at {' < '.join(found) or 'no line of the project'}"


def _is_cuda(device: Any) -> bool:
    """Whether a device is the stand-in; torch says ``meta`` for it where it asks the guard that was lent."""
    return device is not None and torch.device(device).type in ("cuda", "meta")


def _is_cpu(device: Any) -> bool:
    return device is not None and not _is_cuda(device)


class DeviceGenerator(_Generator):
    """A generator of the CPU that says where it was asked to be."""

    def __new__(cls, device: Any = "cpu") -> DeviceGenerator:
        """Make it."""
        made = _Generator.__new__(cls, "cpu")
        made._said = CUDA if torch.device(device).type == "cuda" else torch.device(device)
        return made

    def __init__(self, device: Any = "cpu") -> None:
        pass

    @property
    def device(self) -> torch.device:
        """Where it says it is."""
        return self._said


class DeviceTensor(Tensor):
    """A tensor that says it is on the device; ``inner`` has its numbers."""

    @staticmethod
    def __new__(cls: type[DeviceTensor], inner: Tensor) -> DeviceTensor:
        """Wrap it. Autograd sees the CPU: its engine has no threads for CUDA in this build."""
        return Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device="cpu",
            requires_grad=False,
        )

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    device = property(lambda self: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]

    def get_device(self) -> int:
        """Its number."""
        return 0

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        """Without its history."""
        return self.detach()

    @data.setter
    def data(self, value: DeviceTensor) -> None:
        Tensor.data.__set__(self, value)  # type: ignore[attr-defined]
        self.inner = value.inner

    def __deepcopy__(self, memo: dict[int, Any]) -> DeviceTensor:
        if id(self) in memo:
            return memo[id(self)]
        made = DeviceTensor(self.inner.detach().clone())
        if getattr(self, "_is_param", False):
            made._is_param = True  # type: ignore[attr-defined]
        if self.requires_grad:
            made.requires_grad_()
        memo[id(self)] = made
        return made

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        with _disable_current_modes():
            return f"cuda:{self.inner.detach()!r}"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else repr(self)

    def numpy(self, *_: Any, **__: Any) -> Any:
        """Refuse, as tensors of a GPU do."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    __array__ = numpy

    def record_stream(self, *_: Any) -> None:
        """Nothing to keep alive."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute on the CPU."""
        return _emulate(func, args, kwargs or {})


def on_host(x: Tensor) -> Tensor:
    """The numbers of a tensor, wherever it says it is."""
    return x.inner if isinstance(x, DeviceTensor) else x


def _unwrap(x: Any) -> Any:
    return x.inner if isinstance(x, DeviceTensor) else x


def _wrap(x: Any) -> Any:
    return DeviceTensor(x) if isinstance(x, Tensor) and not isinstance(x, DeviceTensor) else x


def _mismatch(what: str) -> None:
    _log.mismatches[_where(what)] += 1


def _copied(func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
    """``aten::_to_copy``: the one way between devices."""
    inner = _unwrap(args[0])
    here, rest = isinstance(args[0], DeviceTensor), dict(kwargs)
    wanted = rest.pop("device", None)
    to_device = _is_cuda(wanted) or (here and not _to_cpu_wanted)
    out = func(inner, *args[1:], **rest)
    if here and not to_device:
        _log.waits[_where("copy to the CPU")] += 1
        return out
    if to_device and not here:
        _log.copies[_where("copy to the device")] += 1
    elif to_device:
        _log.launches += 1
    return DeviceTensor(out) if to_device else out


def _check_devices(func: Any, args: Any, tensors: list[Tensor]) -> None:
    """Note tensors that do not meet on a GPU."""
    name = func._schema.name
    strangers = [t for t in tensors if not isinstance(t, DeviceTensor)]
    if name in INDEXING:
        if not isinstance(args[0], DeviceTensor):
            _mismatch(f"{name}: a tensor of the CPU, indexed by or set from one of the device")
        for index in (i for i in args[1] if i is not None):
            if index.dtype in (torch.bool, torch.uint8):
                _log.waits[_where("boolean mask as index")] += 1
            if not isinstance(index, DeviceTensor):
                _log.copies[_where("index of the CPU")] += 1
        values = args[2] if len(args) > 2 else None
        if isinstance(values, Tensor) and not isinstance(values, DeviceTensor) and values.ndim:
            _mismatch(f"{name}: values of the CPU")
    elif strangers and len(strangers) < len(tensors):
        takes = torch.Tag.pointwise in func.tags or name.startswith(SCALARS_OK)
        if not takes or any(t.ndim for t in strangers):
            _mismatch(f"{name}: beside a tensor of the CPU of shape {[tuple(t.shape) for t in strangers]}")
        elif func._schema.is_mutable and isinstance(args[0], Tensor) and not isinstance(args[0], DeviceTensor):
            _mismatch(f"{name}: in place on a tensor of the CPU")


def _emulate(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    schema = func._schema
    name = schema.name
    tensors = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    if name == "aten::_to_copy":
        return _copied(func, args, kwargs)
    if not (any(isinstance(t, DeviceTensor) for t in tensors) or _is_cuda(kwargs.get("device"))):
        return func(*args, **kwargs)
    if name == "aten::copy_" and not all(isinstance(t, DeviceTensor) for t in tensors):
        if isinstance(args[0], DeviceTensor):
            _log.copies[_where("copy_ from the CPU")] += 1
            args[0].inner.copy_(args[1])
        else:
            _log.waits[_where("copy_ to the CPU")] += 1
            args[0].copy_(args[1].inner)
        return args[0]
    _check_devices(func, args, tensors)
    if name in WAITS:
        _log.waits[_where(WAITS[name])] += 1
    if name == "aten::repeat_interleave" and kwargs.get("output_size") is None:
        _log.waits[_where("repeat_interleave without output_size")] += 1
    here = {key: value for key, value in kwargs.items() if key not in ("device", "pin_memory")}
    if "device" in kwargs:
        here["device"] = torch.device("cpu")
    plain_args, plain_kwargs = pytree.tree_map(_unwrap, (args, here))
    out = func(*plain_args, **plain_kwargs)
    view = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
    if not view and name not in FREE:
        _log.launches += 1
    if not schema.is_mutable:
        return pytree.tree_map(_wrap, out)
    return _same_objects(schema, args, kwargs, out)


def _same_objects(schema: Any, args: Any, kwargs: dict[str, Any], out: Any) -> Any:
    """What was changed in place comes back as the very object that came in."""
    written = {s.name for s in schema.arguments if s.alias_info is not None and s.alias_info.is_write}
    changed = [x for x, s in zip(args, schema.arguments, strict=False) if s.name in written]
    changed += [value for key, value in kwargs.items() if key in written]
    back = {}
    for tensor in pytree.tree_leaves(changed):
        if isinstance(tensor, Tensor):
            back[id(_unwrap(tensor))] = tensor
            if isinstance(tensor, DeviceTensor) and tensor.shape != tensor.inner.shape:  # an out= that was resized
                Tensor.data.__set__(tensor, DeviceTensor(tensor.inner))  # type: ignore[attr-defined]
    return pytree.tree_map(lambda t: back.get(id(t), _wrap(t)), out)


def _to_cpu(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A copy on the CPU, through autograd."""
    global _to_cpu_wanted
    _to_cpu_wanted = True
    try:
        return _TO_COPY(x, dtype=dtype or x.dtype)
    finally:
        _to_cpu_wanted = False


def _moved(x: Tensor, device: Any, dtype: torch.dtype | None) -> Tensor:
    """``x.to(device, dtype)``."""
    if device is None or _is_cuda(device) == isinstance(x, DeviceTensor):
        return x if dtype is None or dtype == x.dtype else _TO_COPY(x, dtype=dtype)
    return _TO_COPY(x, dtype=dtype or x.dtype, device=CUDA) if _is_cuda(device) else _to_cpu(x, dtype)


class _Functions(TorchFunctionMode):
    """What dispatch does not see: generators, moves between devices, reads by ``tolist``."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name, out = getattr(func, "__name__", ""), kwargs.get("out")
        self._look_at_generator(name, args, kwargs)
        if isinstance(out, Tensor) and kwargs.get("device") is not None:
            wanted = kwargs.pop("device")
            if _is_cuda(wanted) != isinstance(out, DeviceTensor):
                _mismatch(f"{name}: out= is on another device than device=")
        if func in MOVES:
            return self._move(func, args, kwargs)
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if isinstance(first, DeviceTensor):
            if name in COMPOSED:
                return self._composed(func, args, kwargs)
            if name == "new_tensor" and not _is_cpu(kwargs.get("device")):
                _log.copies[_where("new_tensor")] += 1
                with _disable_current_modes():
                    return DeviceTensor(func(first.inner, *args[1:], **{**kwargs, "device": "cpu"}))
            if name == "tolist":
                return _to_cpu(first.detach()).tolist()
            if name in ("as_tensor", "asarray", "tensor"):
                return _moved(first, kwargs.get("device"), kwargs.get("dtype"))
        device = kwargs.get("device")
        made_like = first is not None and device is not None and ("_like" in name or "new_" in name)
        if made_like and _is_cuda(device) != isinstance(first, DeviceTensor):
            with _disable_current_modes():
                made = func(_unwrap(first.detach()), *args[1:], **{**kwargs, "device": "cpu"})
            return DeviceTensor(made) if _is_cuda(device) else made
        return func(*args, **kwargs)

    def _look_at_generator(self, name: str, args: Any, kwargs: dict[str, Any]) -> None:
        generator = kwargs.get("generator")
        if not isinstance(generator, _Generator):
            return
        device = kwargs.get("device")
        if device is None:
            like = next((a for a in (*args, kwargs.get("out")) if isinstance(a, Tensor)), None)
            device = "cpu" if like is None else like.device
        if _is_cuda(device) != (generator.device.type == "cuda"):
            _mismatch(f"{name}: a generator of {generator.device} for a tensor of {device}")

    def _composed(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        assert not any(isinstance(t, Tensor) and t.requires_grad for t in args)
        _log.launches += COMPOSED[func.__name__]
        plain_args, plain_kwargs = pytree.tree_map(_unwrap, (args, kwargs))
        with _disable_current_modes():
            out = func(*plain_args, **plain_kwargs)
        return pytree.tree_map(_wrap, out)

    def _move(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
        x, rest = args[0], list(args[1:])
        if func is torch.Tensor.cpu:
            return _to_cpu(x) if isinstance(x, DeviceTensor) else x
        if func is torch.Tensor.cuda:
            return _moved(x, CUDA, None)
        other = rest[0] if rest and isinstance(rest[0], Tensor) else kwargs.get("other")
        if other is not None:
            return _moved(x, other.device, other.dtype)
        given = [*rest, kwargs.get("device"), kwargs.get("dtype")]
        device = next((v for v in given if isinstance(v, str | torch.device)), None)
        moved = _moved(x, device, next((v for v in given if isinstance(v, torch.dtype)), None))
        return moved.clone() if kwargs.get("copy") or kwargs.get("memory_format") else moved


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _emulate(func, args, kwargs or {})


def watched(work: Callable[[], T]) -> tuple[T, Log]:
    """What ``work()`` gives on the device, and what was noted."""
    global _log
    _log = Log()
    with _Functions(), _Dispatch():
        result = work()
    return result, _log


def _lend_guard() -> None:
    """A build without CUDA has no guard for its devices; lend it that of the meta device, which does nothing."""
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    guards = (ctypes.c_void_p * 21).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    cuda, meta = 1, 14
    guards[cuda] = guards[cuda] or guards[meta] or guards[0]


@contextmanager
def stand_in() -> Iterator[None]:
    """``device="cuda"`` works meanwhile; skips where it cannot."""
    if torch.backends.cuda.is_built() or sys.platform != "linux":
        pytest.skip("the stand-in needs a build of torch without CUDA, on Linux")
    try:
        _lend_guard()
    except (OSError, ValueError) as error:
        pytest.skip(f"this build of torch takes no stand-in: {error}")
    said: dict[str, Any] = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: False,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda *_: "stand-in",
        "is_current_stream_capturing": lambda: False,
        "synchronize": lambda *_: None,
        "reset_peak_memory_stats": lambda *_: None,
        "max_memory_allocated": lambda *_: 0,
        "get_rng_state_all": lambda: [],
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in said.items():
            patch.setattr(torch.cuda, name, value)
        patch.setattr(torch, "Generator", DeviceGenerator)
        overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        torch.autograd.set_multithreading_enabled(False)
        torch._C._set_only_lift_cpu_tensors(True)
        try:
            yield
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
            torch.autograd.set_multithreading_enabled(True)
            torch._C._set_only_lift_cpu_tensors(False)
