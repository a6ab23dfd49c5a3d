# %% [markdown]
# # Bellman fields
#
# Bellman Diffusion learns a mobility s(x) and a drift g(x), and draws with dx = g dt + √s dW. For a mixture of
# Gaussians both are known in closed form at any bandwidth, so that what was learned can be held against what should
# have been.

# %%
import matplotlib.pyplot as plt
import torch

from phys_samplers import make

task = make("task", "mixture-2d")
model = make("sampler", "bellman", steps=400).fit(task, seed=0)
draw = model.draw(1_000, seed=1)

# %%
low, high = task.train.amin(0) - 0.5, task.train.amax(0) + 0.5
xs, ys = (torch.linspace(float(low[i]), float(high[i]), 120) for i in (0, 1))
mesh = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1).reshape(-1, 2)
fields = model.fields(mesh)
s, g = fields["s"].reshape(120, 120), fields["g"].reshape(120, 120, 2)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), sharex=True, sharey=True)
left.contourf(xs, ys, s, levels=20)
left.set_title("mobility s")
few = slice(None, None, 6)
right.quiver(xs[few], ys[few], g[few, few, 0], g[few, few, 1], color="0.5")
right.scatter(*draw.samples.T, s=3)
right.set_title("drift g, and samples")
plt.show()

# %% [markdown]
# The law p is stationary whatever the kernel, because g = (∇s + s ∇log p)/2. Where s is large, particles move fast;
# where it is small they rest.

# %%
rate = fields["s"].clamp_min(1e-3)[:, None]
gap = task.score(mesh) * rate  # what the drift would be if s were constant
weight = task.log_prob(mesh).exp()
cosine = torch.nn.functional.cosine_similarity(fields["g"], gap, dim=-1)
print("mean cosine between g and s ∇log p, weighted by p:", round(float((cosine * weight).sum() / weight.sum()), 2))
