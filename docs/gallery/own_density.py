# %% [markdown]
# # Your own density
#
# An unnormalised log-density of two bananas, one with three times the mass of the other. Which sampler to trust with
# it is found by running several and holding them against each other.

# %%
import math

import matplotlib.pyplot as plt
import torch

from phys_samplers import Density, judge


def log_density(x):  # (B, 2) -> (B,), up to a constant
    first = -0.5 * (x[:, 0] + 3) ** 2 - 2 * (x[:, 1] - 0.5 * (x[:, 0] + 3) ** 2) ** 2
    second = -0.5 * (x[:, 0] - 3) ** 2 - 2 * (x[:, 1] + 0.5 * (x[:, 0] - 3) ** 2) ** 2
    return torch.logaddexp(first + math.log(3), second)


target = Density(log_density, (2,), name="bananas")
verdict = judge(target, ["mala", "smc", "parallel-tempering"], n=1_000)
print(verdict.table())

# %% [markdown]
# The integral is known here: a banana has mass π, so log Z = log(3π + π) = 2.531.

# %%
print(verdict.recommended, verdict.log_z, "exact", math.log(4 * math.pi))

# %%
grid = torch.linspace(-6.5, 6.5, 200)
mesh = torch.stack(torch.meshgrid(grid, grid, indexing="xy"), -1).reshape(-1, 2)
height = log_density(mesh).exp().reshape(200, 200)
plt.figure(figsize=(5, 5))
plt.contour(grid, grid, height, levels=6, colors="0.6", linewidths=0.8)
plt.scatter(*verdict.samples.T, s=3)
plt.title(f"{verdict.recommended}: {len(verdict.samples)} samples")
plt.show()
