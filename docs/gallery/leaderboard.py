# %% [markdown]
# # Reading a leaderboard
#
# Four ways to sample nine Gaussians, at few steps so that this page builds quickly, three seeds each.

# %%
import matplotlib.pyplot as plt

from phys_samplers import bench, plots

suite = {
    "name": "nine",
    "tasks": ["gmm9"],
    "samplers": ["exact", "mala[sampling_steps=300]", "hmc[sampling_steps=150]", "smc"],
    "metrics": ["w2", "mode-tv"],
    "eval_size": 1_000,
}
results = bench.run(suite, seeds=3, executor="inline")
print(results.table())

# %% [markdown]
# The line is the floor: what exact samples of the same number score. Below it there is nothing to win; a bar whose
# interval reaches it cannot be told apart from the truth by this metric, at this many samples.

# %%
plots.leaderboard(results, "gmm9")
plt.show()

# %% [markdown]
# Records are rows of a long table: any question can be asked of it.

# %%
results.frame.pivot_table(index="sampler", columns="metric", values="score", aggfunc=["mean", "std"]).round(4)

# %%
plots.samples(results, "gmm9", "mala[sampling_steps=300]")
plt.show()
