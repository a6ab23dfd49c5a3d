"""Physics-inspired samplers behind one contract; see ``make``, ``names`` and ``phys-samplers --help``.

Names are resolved when they are used, so that ``import phys_samplers`` does not wait for torch. Every registered
sampler can be imported by the name of its class: ``from phys_samplers import BellmanDiffusion``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phys_samplers import bench as bench
    from phys_samplers.catalogue import components as components
    from phys_samplers.catalogue import describe as describe
    from phys_samplers.catalogue import make as make
    from phys_samplers.catalogue import names as names
    from phys_samplers.catalogue import plugins as plugins
    from phys_samplers.catalogue import register as register
    from phys_samplers.catalogue import registry as registry
    from phys_samplers.checkpoint import load as load
    from phys_samplers.dynamics import Dynamics as Dynamics
    from phys_samplers.judging import judge as judge
    from phys_samplers.metric import Metric as Metric
    from phys_samplers.sampler import Draw as Draw
    from phys_samplers.sampler import Model as Model
    from phys_samplers.sampler import Sampler as Sampler
    from phys_samplers.target import Density as Density
    from phys_samplers.target import Samples as Samples
    from phys_samplers.target import Target as Target
    from phys_samplers.target import Task as Task

__version__ = "0.1.0"

_EXPORTS = {
    "make": "phys_samplers.catalogue",
    "names": "phys_samplers.catalogue",
    "describe": "phys_samplers.catalogue",
    "components": "phys_samplers.catalogue",
    "register": "phys_samplers.catalogue",
    "registry": "phys_samplers.catalogue",
    "plugins": "phys_samplers.catalogue",
    "load": "phys_samplers.checkpoint",
    "Dynamics": "phys_samplers.dynamics",
    "judge": "phys_samplers.judging",
    "Metric": "phys_samplers.metric",
    "Draw": "phys_samplers.sampler",
    "Model": "phys_samplers.sampler",
    "Sampler": "phys_samplers.sampler",
    "Density": "phys_samplers.target",
    "Samples": "phys_samplers.target",
    "Target": "phys_samplers.target",
    "Task": "phys_samplers.target",
}

__all__ = [*_EXPORTS, "bench"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    if name == "bench":
        return import_module("phys_samplers.bench")
    if name[:1].isupper():
        from phys_samplers.catalogue import registry

        for component in registry.components("sampler"):
            if isinstance(component.target, str) and component.target.endswith(f":{name}"):
                return component.load()
    raise AttributeError(f"module 'phys_samplers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS, "bench"})
