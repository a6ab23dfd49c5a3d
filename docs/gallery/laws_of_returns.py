# %% [markdown]
# # Laws of returns
#
# The distributional Bellman equation is linear in the law's fields, so the law of the return of a policy from logged
# transitions is one linear solve, for every discount factor at once.

# %%
import matplotlib.pyplot as plt
import torch

from phys_samplers.rl.law_solve import LawSolve, Log
from phys_samplers.rl.logged import evaluate

generator = torch.Generator().manual_seed(0)
states, rows = 6, 20_000
state = torch.randint(states, (rows,), generator=generator)
forward = torch.rand(rows, generator=generator) < 0.7
after = torch.where(forward, state + 1, (state - 1).clamp_min(0)).clamp_max(states - 1)
done = after == states - 1
log = Log(observation=state, reward=done.float(), terminal=done, next_observation=after)

laws = evaluate(log, torch.arange(states), gammas=[0.8, 0.9, 0.95], recipe=LawSolve(atoms=101), groups=20)

# %%
figure, ax = plt.subplots(figsize=(6, 3.5))
for one in laws:
    mean = one.law.mean[:-1]
    band = one.mean_band[:-1]  # (Q, 2)
    ax.errorbar(range(states - 1), mean, yerr=(band.T - mean).abs(), label=f"γ = {one.gamma}", capsize=3)
ax.set(xlabel="state", ylabel="mean return with its 90 % band")
ax.legend()
plt.show()

# %% [markdown]
# A walk that goes forward with probability .7: the mean of the return is known by a linear system of six unknowns.

# %%
for one in laws:
    chain = torch.zeros(states, states)
    for s in range(states - 1):
        chain[s, min(s + 1, states - 1)] += 0.7
        chain[s, max(s - 1, 0)] += 0.3
    chain[states - 1, states - 1] += 0.7
    chain[states - 1, states - 2] += 0.3
    prize = chain[:, states - 1].clone()
    chain[:, states - 1] = 0  # there the episode ends
    exact = torch.linalg.solve(torch.eye(states) - one.gamma * chain, prize)
    print(one.gamma, [round(float(v), 3) for v in one.law.mean[:3]], [round(float(v), 3) for v in exact[:3]])
