# %% [markdown]
# # First sampler
#
# A recipe is made by name, fitted to a task's rows, and draws. `steps` is small here; the default does better.

# %%
import matplotlib.pyplot as plt

from phys_samplers import make

task = make("task", "moons")
model = make("sampler", "edm", steps=400).fit(task, seed=0)
draw = model.draw(1_000, seed=1)
print(draw.samples.shape, draw.nfe)

# %% [markdown]
# Left what it learned from, right what it draws.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4), sharex=True, sharey=True)
left.scatter(*task.train[:1_000].T, s=3, color="0.4")
left.set_title("training rows")
right.scatter(*draw.samples.T, s=3, color="C0")
right.set_title(f"edm, {draw.nfe:.0f} evaluations a sample")
plt.show()

# %% [markdown]
# A score means something beside its floor: what as many samples from the truth score against the same held-out rows.

# %%
from phys_samplers import bench

suite = {
    "name": "first",
    "tasks": ["moons"],
    "samplers": ["exact", "edm[steps=400]"],
    "metrics": ["w2"],
    "eval_size": 1_000,
}
print(bench.run(suite, seeds=2, executor="inline").table())
