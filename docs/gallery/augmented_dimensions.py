# %% [markdown]
# # Augmented dimensions
#
# PFGM++ puts N-dimensional data into N + D dimensions, where field lines of electric charges lead from far away to
# the data. D = 1 is the Poisson flow, D → ∞ is diffusion. One network, one number changed.

# %%
import matplotlib.pyplot as plt
import torch

from phys_samplers import make

task = make("task", "moons")
sizes = (2, 16, 128, None)  # None is the limit
models = {d: make("sampler", "pfgmpp", aux_dim=d, steps=400).fit(task, seed=0) for d in sizes}

figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), sharex=True, sharey=True)
for ax, (d, model) in zip(axes, models.items(), strict=True):
    ax.scatter(*model.sample(800, seed=1).T, s=3)
    ax.set_title("diffusion" if d is None else f"D = {d}")
plt.show()

# %% [markdown]
# The kernel explains the difference: with small D the blur has heavy tails, so that training sees far-away points at
# every level, and a wrong start costs less. Distances of a blurred point from its row, at σ = 1 in two coordinates:

# %%
levels = torch.tensor([0.5, 0.9, 0.99, 0.999])
for d in (2, 16, 128):
    outside = (1 - levels) ** (2 / d)  # 1 − |x|²/(|x|² + r²), which is Beta(D/2, 1) for N = 2
    distance = d**0.5 * ((1 - outside) / outside).sqrt()  # r = σ√D
    print(d, [round(float(q), 2) for q in distance])
