"""Physics-inspired samplers behind one contract; see ``make``, ``names`` and ``phys-samplers --help``.

Names are resolved when they are used, so that ``import phys_samplers`` does not wait for torch. Every registered
sampler can be imported by the name of its class: ``from phys_samplers import BellmanDiffusion``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_samplers import bench as bench
    from phys_samplers import plots as plots
    from phys_samplers.catalogue import components as components
    from phys_samplers.catalogue import describe as describe
    from phys_samplers.catalogue import make as make
    from phys_samplers.catalogue import names as names
    from phys_samplers.catalogue import plugins as plugins
    from phys_samplers.catalogue import register as register
    from phys_samplers.catalogue import registry as registry
    from phys_samplers.denoisers.given import from_denoiser as from_denoiser
    from phys_samplers.denoisers.pretrained import from_diffusers as from_diffusers
    from phys_samplers.dynamics import Dynamics as Dynamics
    from phys_samplers.judging import judge as judge
    from phys_samplers.metric import Metric as Metric
    from phys_samplers.sampler import Draw as Draw
    from phys_samplers.sampler import Model as Model
    from phys_samplers.sampler import Sampler as Sampler
    from phys_samplers.sampler import load as load
    from phys_samplers.samples import Samples as Samples
    from phys_samplers.target import Density as Density
    from phys_samplers.target import Target as Target
    from phys_samplers.target import Task as Task

__version__ = "0.1.0"

_find, _names = lazy(__name__)


def __dir__() -> list[str]:
    """The names above, and the classes of registered samplers."""
    from phys_samplers.catalogue import registry

    targets = [component.target for component in registry.components("sampler")]
    classes = (text.rpartition(":")[2] for text in targets if isinstance(text, str))
    return sorted({*_names(), *(name for name in classes if name[:1].isupper())})


def __getattr__(name: str) -> Any:
    if name[:1].isupper() and name not in _names():
        from phys_samplers.catalogue import registry

        for component in registry.components("sampler"):
            if isinstance(component.target, str) and component.target.endswith(f":{name}"):
                return component.load()
    return _find(name)
