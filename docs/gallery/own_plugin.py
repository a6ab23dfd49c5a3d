# %% [markdown]
# # Your own plugin
#
# A sampler that knows nothing but rows: it jitters training rows by a kernel of Silverman's width (a smoothed
# bootstrap). Registered from running code it enters by the same door as the built-in ones.

# %%
from dataclasses import dataclass
from typing import ClassVar

import torch

from phys_samplers import Draw, Model, Sampler, bench, register
from phys_samplers.options import draw_option
from phys_samplers.randomness import make_generator


class SmoothedModel(Model):
    def __init__(self, recipe, rows, name):
        self.recipe, self.rows = recipe, rows
        self.target_name, self.event_shape = name, rows.shape[1:]

    @property
    def device(self):
        return self.rows.device

    def draw(self, n, *, seed=0, start=None, **options):
        self.check_draw(n, start)
        recipe = self.recipe.for_draw(options)
        generator = make_generator(seed, "smoothed", device=self.device)
        count, dim = self.rows.shape
        width = recipe.width * self.rows.std(0) * (4 / (count * (dim + 2))) ** (1 / (dim + 4))
        chosen = torch.randint(count, (n,), generator=generator, device=self.device)
        noise = torch.randn(n, dim, generator=generator, device=self.device)
        return Draw(self.rows[chosen] + width * noise, nfe=0)

    def tensors(self):
        return {"rows": self.rows}


@register("sampler", "smoothed", summary="Smoothed bootstrap")
@dataclass(frozen=True, kw_only=True)
class Smoothed(Sampler):
    needs: ClassVar[frozenset[str]] = frozenset({"samples"})

    width: float = draw_option(1.0, above=0)  # in units of Silverman's

    def fit(self, target, *, seed=0, device="cpu", callbacks=()):
        target.require(*self.needs, by="smoothed")
        return SmoothedModel(self, target.train.to(device), target.name)

    def restore(self, tensors, facts, *, event_shape, target, device="cpu"):
        return SmoothedModel(self, tensors["rows"].to(device), facts["target_name"])


# %% [markdown]
# The conformance kit tries what every sampler promises: seeds, shapes, saving, devices, errors.

# %%
from phys_samplers.testing import check_sampler

for result in check_sampler(Smoothed()):
    print(result)

# %% [markdown]
# And a benchmark scores it beside exact samples and the training rows themselves.

# %%
suite = {
    "name": "mine",
    "tasks": ["moons"],
    "samplers": ["exact", "training-rows", "smoothed", "smoothed[width=0.3]"],
    "metrics": ["w2", "memorisation"],
    "eval_size": 1_000,
}
print(bench.run(suite, seeds=2, executor="inline").table())
