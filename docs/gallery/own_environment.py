# %% [markdown]
# # Your own environment
#
# Waiting makes the prize grow and may lose it. Any gymnasium environment with finitely many actions can be learned;
# the agent knows the law of its return, not its mean alone.

# %%
import gymnasium
import matplotlib.pyplot as plt
import numpy as np

from phys_samplers import make


class Wait(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.grown = 0.1
        return np.array([self.grown], np.float32), {}

    def step(self, action):
        lost = self.np_random.random() < 0.1
        reward = self.grown if action else 0.0
        self.grown = 0.0 if lost else min(1.0, self.grown + 0.1)
        return np.array([self.grown], np.float32), reward, bool(action or lost), False, {}


# %% [markdown]
# Two agents: one that takes the best mean, one that takes the best mean of the worst quarter.

# %%
settings = {"returns": (0, 1), "steps": 1_000, "learning_starts": 200, "seed": 0}
bold = make("return_model", "bellman", preset="positive", width=32).train(Wait, **settings)
careful = make("return_model", "bellman", preset="positive", width=32).train(Wait, tail=0.25, **settings)

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True)
for ax, action, title in zip(axes, (0, 1), ("wait", "take it"), strict=True):
    for grown in (0.2, 0.5, 0.9):
        grid, density = bold.density([grown], action=action)
        ax.plot(grid, density[0], label=f"grown to {grown}")
    ax.set(title=f"law of the return, if the first action is to {title}", xlabel="return")
axes[0].legend()
plt.show()
print("takes it at", [g / 10 for g in range(1, 11) if bold.act([g / 10]) == 1][:1], "and")
print("careful at ", [g / 10 for g in range(1, 11) if careful.act([g / 10]) == 1][:1])
