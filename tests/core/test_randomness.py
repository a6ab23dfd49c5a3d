from __future__ import annotations

import pytest
import torch

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Ahead, Rehearsal, Streams, derive_seed, make_generator


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        # BLAKE2b with 8 bytes of "0", "0\x1fweights", "1\x1fa\x1f2", shifted right by one: on every machine, for ever
        ((0,), 4761921975702974394),
        ((0, "weights"), 8499703138442296907),
        ((1, "a", 2), 6104619561527858045),
    ],
)
def test_derived_seeds_are_known_numbers(arguments: tuple, value: int) -> None:
    assert derive_seed(*arguments) == value


def test_derived_seeds_depend_on_everything_and_fit_63_bits() -> None:
    seeds = {
        derive_seed(*arguments)
        for arguments in [(0,), (1,), (0, "a"), (0, "b"), (0, "a", "b"), (0, "ab"), (0, "", "ab")]
    }
    assert len(seeds) == 7
    assert all(0 <= seed < 2**63 for seed in (derive_seed(i, "x") for i in range(100)))


@pytest.mark.parametrize("seed", [-1, 1.0, "0", None, True])
def test_bad_seeds_are_named(seed: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"seed is {seed!r}; expected a non-negative integer"):
        make_generator(seed)  # type: ignore[arg-type]


def test_no_seeds_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least one seed"):
        Streams([], "a")


def draws(streams: Streams) -> list[torch.Tensor]:
    return [
        streams.normal(5, 3),
        streams.uniform(4),
        streams.integers(7, 33),
        streams.normal(2, 17, dtype=torch.float64),
        streams.uniform(100, dtype=torch.float64),
    ]


def test_replica_r_draws_what_the_single_run_with_its_seed_draws() -> None:
    seeds = [5, 0, 5, 123]
    stacked = draws(Streams(seeds, "batches"))
    for r, seed in enumerate(seeds):
        for many, one in zip(stacked, draws(Streams([seed], "batches")), strict=True):
            assert torch.equal(many[r : r + 1], one)
    assert not torch.equal(stacked[0][0], stacked[0][1])
    assert torch.equal(stacked[0][0], stacked[0][2])


def test_labels_keep_streams_apart() -> None:
    """Other labels, other numbers; and drawing from one stream does not move another."""
    weights, noise = Streams([0], "weights"), Streams([0], "noise")
    assert not torch.equal(weights.normal(50), noise.normal(50))
    fresh = Streams([0], "noise")
    fresh.normal(50)
    weights.normal(999)
    assert torch.equal(noise.normal(50), fresh.normal(50))


def test_independent_streams_are_uncorrelated() -> None:
    # 200,000 pairs: the standard error of a correlation is 0.0022; a bound of 0.0125 is 5.6 of them, and 6 pairs are
    # looked at: a false alarm rate of 1e-7
    n = 200_000
    x = torch.cat([Streams([s], label).normal(n, dtype=torch.float64) for s in (0, 1) for label in ("a", "b")])
    correlation = torch.corrcoef(x) - torch.eye(4, dtype=torch.float64)
    assert correlation.abs().max() < 0.0125


def test_children_have_longer_labels_and_start_afresh() -> None:
    parent = Streams([3, 4], "a")
    parent.normal(10)
    child = parent.child("b", 1)
    assert child.labels == ("a", "b", 1)
    assert child.seeds == (3, 4)
    assert child.replicas == 2
    assert torch.equal(child.normal(6), Streams([3, 4], "a", "b", 1).normal(6))


def test_distributions() -> None:
    # 100,000 draws. Normal: mean ± 0.0032, variance ± 0.0045; uniform mean ± 0.0009; integers: a cell's share ± 0.0009.
    # All bounds are at least 5.5 standard errors: false alarm rate below 1e-6
    streams = Streams([7], "moments")
    z, u, i = streams.normal(100_000), streams.uniform(100_000), streams.integers(10, 100_000)
    assert abs(float(z.mean())) < 0.018
    assert abs(float(z.var()) - 1) < 0.025
    assert float(u.min()) >= 0
    assert float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 0.0055
    share = torch.bincount(i.flatten(), minlength=10) / 100_000
    assert len(share) == 10
    assert float((share - 0.1).abs().max()) < 0.0055


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_draws_live_on_the_device_and_replicas_agree_there() -> None:
    stacked = Streams([1, 2], "x", device="cuda")
    single = Streams([2], "x", device="cuda")
    for name, arguments in (("normal", (5, 3)), ("uniform", (9,)), ("integers", (4, 9))):
        many, one = getattr(stacked, name)(*arguments), getattr(single, name)(*arguments)
        assert many.is_cuda
        assert torch.equal(many[1:], one)


MIXED = (lambda s: s.normal(3), lambda s: s.uniform(2, dtype=torch.float64), lambda s: s.gamma(1.5, 4))
STEPS = {
    "by sixteens": (lambda s: s.normal(32), lambda s: s.normal(32, 3)),
    "few normal ones": (lambda s: s.normal(5), lambda s: s.normal(5, 3)),
    "integers": (lambda s: s.integers(900, 7),),
    "uniform": (lambda s: s.uniform(7), lambda s: s.uniform(2, 2)),
    "mixed": MIXED,
    "none": (),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("seeds", [[3], [3, 0, 7]])
def test_steps_drawn_at_once_are_those_drawn_one_after_another(name: str, seeds: list[int]) -> None:
    step, streams, again = STEPS[name], Streams(seeds, "noise"), Streams(seeds, "noise")
    single = [[draw(streams) for draw in step] for _ in range(5)]
    rehearsal = Rehearsal(again)
    for draw in step:
        draw(rehearsal)
    rehearsal.rewind()
    ahead = Ahead(again, 5, rehearsal.noted)
    for number, draw in enumerate(step):
        whole = draw(ahead)
        assert whole.is_contiguous()
        assert torch.equal(whole, torch.cat([part[number] for part in single]))
    assert torch.equal(streams.state_dict()["generators"], again.state_dict()["generators"])


def test_a_step_that_draws_otherwise_than_the_first_is_refused() -> None:
    streams = Streams([0], "noise")
    rehearsal = Rehearsal(streams)
    rehearsal.normal(16)
    with pytest.raises(ConfigurationError, match="a step draws"):
        Ahead(streams, 2, rehearsal.noted).normal(17)
    with pytest.raises(ConfigurationError, match="a step draws"):
        Ahead(streams, 2, []).normal(16)
