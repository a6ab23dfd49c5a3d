"""What ``judge`` says of 21 densities whose truth is known: never a confident wrong answer.

A recommended answer is right if its samples do not differ from exact ones (p above 1e-3: over all kinds a false alarm
in fifty), and its log Z is within 5 standard errors and 0.02 of the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, StudentT

from phys_samplers import Density, judge, make
from phys_samplers.errors import DensityError
from phys_samplers.judging.evidence import probe
from phys_samplers.judging.p_values import two_sample_p_value
from phys_samplers.judging.units import refuse_improper
from phys_samplers.judging.verdict import Judgement
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

LOG_2PI = math.log(2 * math.pi)


class Kind(NamedTuple):
    """A density with its log Z and exact draws; without draws an honest "none yet" that says ``advice`` is right."""

    target: Target
    log_z: float | None = None
    exact: Callable[[int, torch.Generator], Tensor] | None = None
    advice: str = ""
    options: dict[str, Any] = {}  # noqa: RUF012 - of judge; never changed


def normal(x: Tensor, mean: float = 0.0, std: float | Tensor = 1.0) -> Tensor:
    """log N(x; mean, std²) (B,)."""
    s = torch.as_tensor(std, dtype=x.dtype).expand(x.shape[1])
    return (-0.5 * ((x - mean) / s).square() - s.log() - 0.5 * LOG_2PI).sum(1)


def mixture(x: Tensor, parts: list[tuple[float, float, float]]) -> Tensor:
    """log Σ w N(x; m, s²) (B,)."""
    return torch.stack([normal(x, m, s) + math.log(w) for w, m, s in parts]).logsumexp(0)


def draws_of(parts: list[tuple[float, float, float]], dim: int) -> Callable[[int, torch.Generator], Tensor]:
    """Exact draws of that mixture."""

    def draw(n: int, generator: torch.Generator) -> Tensor:
        weights, means, stds = (torch.tensor(column) for column in zip(*parts, strict=True))
        chosen = torch.multinomial(weights, n, replacement=True, generator=generator)
        return means[chosen, None] + stds[chosen, None] * torch.randn(n, dim, generator=generator)

    return draw


def of_mixture(name: str, parts: list[tuple[float, float, float]], dim: int, **facts: Any) -> Kind:
    """A mixture of normals as a kind."""
    return Kind(Density(lambda x: mixture(x, parts), (dim,), name=name), 0.0, draws_of(parts, dim), **facts)


def uniform(n: int, dim: int, generator: torch.Generator) -> Tensor:
    """On [0, 1)."""
    return torch.rand(n, dim, generator=generator)


def off(inside: Tensor, value: Tensor) -> Tensor:
    """``value`` where ``inside``, −∞ elsewhere."""
    return torch.where(inside, value, -math.inf)


def stairs(n: int, g: torch.Generator) -> Tensor:
    """Draws of exp(−⌊|x|⌋)."""
    step = torch.empty(n, 1).geometric_(1 - math.exp(-1), generator=g) - 1
    sign = torch.randint(2, (n, 1), generator=g) * 2 - 1
    return sign * (step + uniform(n, 1, g))


def funnel(n: int, g: torch.Generator) -> Tensor:
    """Draws of Neal's funnel in 5 dimensions with v ~ N(0, 1.5²)."""
    v = 1.5 * torch.randn(n, 1, generator=g)
    return torch.cat([v, (v / 2).exp() * torch.randn(n, 4, generator=g)], 1)


def banana(n: int, g: torch.Generator) -> Tensor:
    """Draws of N(x₁; 0, 1) N(x₂; x₁², ½²)."""
    x = torch.randn(n, 1, generator=g)
    return torch.cat([x, x.square() + 0.5 * torch.randn(n, 1, generator=g)], 1)


def quartic(n: int, g: torch.Generator) -> Tensor:
    """Draws of exp(−Σx⁴) in 6 dimensions, by rejection from uniform ones."""
    x = 6 * torch.rand(40 * n, 6, generator=g) - 3
    kept = torch.rand(x.shape, generator=g) < (-x.pow(4)).exp()
    return torch.stack([x[:, k][kept[:, k]][:n] for k in range(6)], 1)


def broken(x: Tensor) -> Tensor:
    """A user's mistake."""
    return (x @ torch.ones(7, 1)).squeeze(1)


SCALES = torch.logspace(-2, 2, 20)

KINDS: dict[str, Kind] = {
    "wide": of_mixture("wide", [(1.0, 0.0, 1000.0)], 5),
    "narrow": of_mixture("narrow", [(1.0, 0.0, 1e-3)], 2),
    "far": of_mixture("far", [(1.0, 100.0, 1.0)], 2),
    "lost mode": of_mixture("lost mode", [(0.9, 15.0, 0.5), (0.1, 0.0, 1.0)], 2),
    "offset": Kind(Density(lambda x: -3e7 + normal(x), (2,), name="offset"), -3e7, draws_of([(1.0, 0.0, 1.0)], 2)),
    "half normal": Kind(
        Density(lambda x: off(x[:, 0] > 0, normal(x)), (1,), name="half normal"),
        -math.log(2),
        lambda n, g: torch.randn(n, 1, generator=g).abs(),
    ),
    "exponential": Kind(
        Density(lambda x: off((x > 0).all(1), -x.sum(1)), (2,), name="exponential"),
        0.0,
        lambda n, g: -torch.log1p(-uniform(n, 2, g)),
    ),
    "stairs": Kind(
        Density(lambda x: -x.abs().floor().sum(1) + 0 * x.sum(1), (1,), name="stairs"),
        math.log(2 / (1 - math.exp(-1))),
        stairs,
    ),
    "unseen spike": of_mixture("unseen spike", [(0.5, 0.0, 1.0), (0.5, 40.0, 1e-3)], 5, advice="leave no trace"),
    "funnel": Kind(
        Density(lambda x: normal(x[:, :1], 0.0, 1.5) + (normal(x[:, 1:] * (-x[:, :1] / 2).exp()) - 2 * x[:, 0]), (5,)),
        0.0,
        funnel,
    ),
    "narrow and wide": of_mixture("narrow and wide", [(0.5, 0.0, 0.05), (0.5, 0.0, 3.0)], 2),
    "many scales": Kind(
        Density(lambda x: normal(x, 0.0, SCALES), (20,), name="many scales"),
        0.0,
        lambda n, g: SCALES * torch.randn(n, 20, generator=g),
    ),
    "light tails": Kind(
        Density(lambda x: -x.pow(4).sum(1), (6,), name="light tails"), 6 * math.log(2 * math.gamma(1.25)), quartic
    ),
    "student": Kind(
        Density(Independent(StudentT(torch.full((2,), 3.0)), 1), name="student"),
        0.0,
        lambda n, g: torch.randn(n, 2, generator=g) / (torch.randn(n, 2, 3, generator=g).square().sum(2) / 3).sqrt(),
    ),
    "cauchy": Kind(
        Density(lambda x: -torch.log1p(x.square()).sum(1), (1,), name="cauchy"),
        math.log(math.pi),
        lambda n, g: torch.tan(math.pi * (uniform(n, 1, g) - 0.5)),
    ),
    "flat": Kind(Density(lambda x: 0 * x.sum(1), (2,), name="flat"), advice="improper"),
    "circle": Kind(
        Density(lambda x: off((x.abs() < math.pi).all(1), 4 * x.cos().sum(1)), (1,), name="circle"),
        math.log(2 * math.pi * float(torch.special.i0(torch.tensor(4.0)))),
        lambda n, g: torch.linspace(-math.pi, math.pi, 20001)[
            torch.multinomial((4 * torch.linspace(-math.pi, math.pi, 20001).cos()).exp(), n, True, generator=g)
        ].unsqueeze(1),
    ),
    "box": Kind(
        Density(lambda x: off(((x > 0) & (x < 1)).all(1), -0.5 * ((x - 0.1) / 0.3).square().sum(1)), (2,), name="box"),
        2
        * math.log(0.3 * math.sqrt(2 * math.pi) * 0.5 * (math.erf(3 / math.sqrt(2)) + math.erf(1 / 3 / math.sqrt(2)))),
        lambda n, g: (
            0.1
            + 0.3
            * math.sqrt(2)
            * torch.erfinv(
                math.erf(-1 / 3 / math.sqrt(2))
                + uniform(n, 2, g) * (math.erf(3 / math.sqrt(2)) - math.erf(-1 / 3 / math.sqrt(2)))
            )
        ),
    ),
    "banana": Kind(
        Density(lambda x: normal(x[:, :1]) + normal((x[:, 1:] - x[:, :1].square()), 0.0, 0.5), (2,), name="banana"),
        0.0,
        banana,
    ),
    "double precision": Kind(
        Density(lambda x: normal(x @ torch.eye(3, dtype=torch.float64)), (3,), name="double precision"),
        0.0,
        draws_of([(1.0, 0.0, 1.0)], 3),
    ),
    "two of three": of_mixture("two of three", [(0.6, 6.0, 1.0), (0.3, -6.0, 0.5), (0.1, 0.0, 0.2)], 3),
}


def in_a_row(name: str, parts: list[tuple[float, float, float]], dim: int) -> Kind:
    """Σ w N(m e₁, s² I): parts of any width along the first axis."""
    axis = torch.zeros(dim)
    axis[0] = 1.0
    law = lambda x: torch.stack([normal(x - m * axis.to(x), 0.0, s) + math.log(w) for w, m, s in parts]).logsumexp(0)  # noqa: E731

    def draw(n: int, g: torch.Generator) -> Tensor:
        weights, means, stds = (torch.tensor(column) for column in zip(*parts, strict=True))
        chosen = torch.multinomial(weights, n, replacement=True, generator=g)
        return means[chosen, None] * axis + stds[chosen, None] * torch.randn(n, dim, generator=g)

    return Kind(Density(law, (dim,), name=name), 0.0, draw)


def ring(x: Tensor) -> Tensor:
    """Equal parts of a needle of width 0.01 and of a ring of radius 5 and width 0.3 around it."""
    shell = -0.5 * ((x.norm(dim=1) - 5) / 0.3).square() - math.log(2 * math.pi * 5 * 0.3 * math.sqrt(2 * math.pi))
    return torch.logaddexp(shell, normal(x, 0.0, 0.01)) - math.log(2)


def ring_draws(n: int, g: torch.Generator) -> Tensor:
    """By rejection: radii have the density of the normal law times r."""
    r = 5 + 0.3 * torch.randn(8 * n, 1, generator=g)
    r = r[7 * uniform(8 * n, 1, g)[:, 0] < r[:, 0]][:n]
    angle = 2 * math.pi * uniform(n, 1, g)
    around = torch.cat([r * angle.cos(), r * angle.sin()], 1)
    return torch.where(uniform(n, 1, g) < 0.5, 0.01 * torch.randn(n, 2, generator=g), around)


LEAN = 0.99


def cross(x: Tensor) -> Tensor:
    """Two normal laws with correlations ±0.99."""
    both = [normal(x[:, 1:] - sign * LEAN * x[:, :1], 0.0, math.sqrt(1 - LEAN**2)) for sign in (1, -1)]
    return normal(x[:, :1]) + torch.logaddexp(*both) - math.log(2)


def cross_draws(n: int, g: torch.Generator) -> Tensor:
    """Exact ones."""
    x, sign = torch.randn(n, 1, generator=g), torch.randint(2, (n, 1), generator=g) * 2 - 1
    return torch.cat([x, sign * LEAN * x + math.sqrt(1 - LEAN**2) * torch.randn(n, 1, generator=g)], 1)


def horseshoe(x: Tensor) -> Tensor:
    """y ~ N(0, λ²) with λ half Cauchy, at (log λ, y)."""
    z, y = x[:, :1], x[:, 1:]
    prior = math.log(2 / math.pi) + z - torch.nn.functional.softplus(2 * z)
    return prior[:, 0] + normal(y * (-z).exp()) - z[:, 0]


def horseshoe_draws(n: int, g: torch.Generator) -> Tensor:
    """Exact ones."""
    z = torch.tan(0.5 * math.pi * uniform(n, 1, g)).log()
    return torch.cat([z, z.exp() * torch.randn(n, 1, generator=g)], 1)


def lognormal(x: Tensor) -> Tensor:
    """Of log-deviation 1.5, −∞ where a coordinate is not positive."""
    y = torch.where(x > 0, x, 1.0).log()
    return off((x > 0).all(1), normal(y, 0.0, 1.5) - y.sum(1))


KINKS = torch.logspace(-2, 1, 10)

ATTACKS: dict[str, Kind] = {
    "one of 1e-4 in 1e3": of_mixture("one of 1e-4 in 1e3", [(0.5, 0.0, 1e-4), (0.5, 0.0, 1e3)], 2),
    "nine apart": in_a_row("nine apart", [(0.5, 0.0, 2.0), (0.5, 9.0, 0.3)], 5),
    "needle in a ring": Kind(Density(ring, (2,), name="needle in a ring"), 0.0, ring_draws),
    "lognormal": Kind(
        Density(lognormal, (2,), name="lognormal"), 0.0, lambda n, g: (1.5 * torch.randn(n, 2, generator=g)).exp()
    ),
    "ten dimensions": in_a_row("ten dimensions", [(0.2, -4.0, 1.0), (0.8, 4.0, 1.0)], 10),
    "cross": Kind(Density(cross, (2,), name="cross"), 0.0, cross_draws),
    "kinks": Kind(
        Density(lambda x: -(x / KINKS.to(x)).abs().sum(1) - (2 * KINKS).log().sum(), (10,), name="kinks"),
        0.0,
        lambda n, g: KINKS * torch.log1p(-uniform(n, 10, g)) * (torch.randint(2, (n, 10), generator=g) * 2 - 1),
    ),
    "triangle": Kind(
        Density(
            lambda x: off((x[:, 1] > 0) & (x[:, 0] > x[:, 1]) & (x[:, 0] < 1), 0 * x.sum(1)), (2,), name="triangle"
        ),
        -math.log(2),
        lambda n, g: uniform(n, 2, g).sort(1, descending=True).values,
    ),
    "horseshoe": Kind(Density(horseshoe, (2,), name="horseshoe"), 0.0, horseshoe_draws),
    "small and apart": in_a_row("small and apart", [(0.3, -3.0, 0.1), (0.7, 3.0, 0.1)], 8),
    "slits": in_a_row("slits", [(0.1, -2, 0.01), (0.4, -1, 0.01), (0.1, 0.0, 0.01), (0.3, 1, 0.01), (0.1, 2, 0.01)], 1),
    "far away": of_mixture("far away", [(1.0, 1e5, 1.0)], 2),
}

SAMPLERS = ("smc", "ais", "mala", "hmc", "nuts[max_depth=6]", "parallel-tempering")
FEWEST_RIGHT = 17
N = 600


def compared(x: Tensor, y: Tensor, generator: torch.Generator, draws: float) -> float:
    """p-value after a map to ranks of the pooled rows, coordinate by coordinate, which heavy tails do not spoil.

    Of ``x`` no more rows are taken than the independent ``draws`` that they are worth.
    """
    m = min(len(x), len(y), int(draws))
    kept = torch.randperm(len(x), generator=generator)[:m]
    pooled = torch.cat([x[kept].double().cpu(), y[:m].double()])
    ranks = pooled.argsort(0).argsort(0).double()
    return two_sample_p_value(ranks[:m], ranks[m:], generator=generator)


def wrong(kind: Kind, found: Judgement, generator: torch.Generator) -> str:
    """What is wrong with a recommendation; empty if nothing is."""
    assert kind.exact is not None
    assert found.samples is not None
    assert found.best is not None
    worth = found.best.effective or N
    if (p := compared(found.samples, kind.exact(N, generator), generator, worth)) < 1e-3:
        return f"samples of {found.recommended} differ from exact ones (p = {p:.4f})"
    if found.log_z is not None and kind.log_z is not None:
        value, std = found.log_z
        if abs(value - kind.log_z) > 5 * std + 0.02:
            return f"log Z is {value:.3f} ± {std:.3f}, truly {kind.log_z:.3f}"
    return ""


def judged(name: str, samplers: Sequence[str] = SAMPLERS, *, seed: int = 0) -> tuple[str, str]:
    """``right``, ``none yet`` or ``wrong``, and why."""
    kind = KINDS[name] if name in KINDS else ATTACKS[name]
    try:
        found = judge(kind.target, samplers, n=N, seed=seed, seconds=600)
    except DensityError as error:
        return ("right" if kind.advice and kind.advice in str(error) else "wrong"), str(error)
    if not found.recommended:
        return "none yet", found.summary
    if kind.exact is None:
        return "wrong", found.summary
    why = wrong(kind, found, make_generator(1, "exact", name))
    if why and kind.advice and kind.advice in found.summary:
        return "warned", why
    return ("wrong" if why else "right"), why


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_right_where_it_can_be_and_never_confidently_wrong() -> None:
    verdicts = {name: judged(name) for name in KINDS}
    told = "\n".join(f"{name}: {verdict} {why}" for name, (verdict, why) in verdicts.items())
    kinds = [verdict for verdict, _ in verdicts.values()]
    assert "wrong" not in kinds, told
    assert kinds.count("right") >= FEWEST_RIGHT, told


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ATTACKS)
def test_what_was_made_to_mislead_it(name: str) -> None:
    """Half of the mass in a needle, in a far part, in tails, behind borders: none of them confidently wrong."""
    verdict, why = judged(name, seed=4)
    assert verdict in {"right", "none yet"}, why


@pytest.mark.parametrize("name", ["flat", "offset", "half normal"])
def test_a_few_of_them_in_every_run(name: str) -> None:
    assert judged(name, SAMPLERS[:2])[0] == "right"


@pytest.mark.parametrize(
    ("log_prob", "options", "message"),
    [
        (broken, {}, "the log-density raised RuntimeError"),
        (lambda x: -0.5 * x.square().sum(1), {"score": lambda x: 1.3 * x}, "is not the gradient"),
        (lambda x: (x.cos()).sum(1), {}, "improper"),
        (lambda x: 2 * x[:, 0].cos() - x[:, 1].square(), {}, "changes flat coordinates 0"),
        (lambda x: -(x[:, 0] - 3 * x[:, 1]).square(), {}, "changes flat coordinates 0, 1"),
        (lambda x: -0.5 * x.square().sum(1) + 0.1 * torch.randn(len(x)), {}, "not the same when asked again"),
        (lambda x: -0.5 * ((x - 0.9 * x.mean(0)) / x.std(0)).square().sum(1), {}, "not the same in another batch"),
        (lambda x: x.square().sum(1) * torch.nan, {}, "nan at all"),
        (lambda x: 1e38 - 0.5 * x.square().sum(1), {}, "double precision rounds to 2e.22"),
        (lambda x: -1e36 * x.square().sum(1), {}, "double precision rounds to"),
    ],
)
def test_a_mistake_is_one_exception(log_prob: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DensityError, match=message):
        judge(Density(log_prob, (2,), **options), SAMPLERS[:2], n=200)


@pytest.mark.parametrize(
    ("log_prob", "dim"),
    [
        (lambda x: -0.5 * (x / 1e7).square().sum(1), 2),
        (lambda x: -0.5 * ((x[:, 0] - x[:, 1]).square() + 1e-10 * x.square().sum(1)), 2),
        (lambda x: -torch.log1p(x.square()).sum(1), 3),
        (lambda x: -0.6 * torch.log1p(x.square().sum(1)), 1),
        (lambda x: off((x.norm(dim=1) > 1) & (x.norm(dim=1) < 1.2), 0 * x.sum(1)), 2),
        (lambda x: 1e6 + normal(x), 2),
        (KINDS["funnel"].target.law.log_prob, 5),
        (KINDS["stairs"].target.law.log_prob, 1),
        (KINDS["many scales"].target.law.log_prob, 20),
    ],
)
def test_what_can_be_a_density_is_not_refused(log_prob: Any, dim: int) -> None:
    target = Density(log_prob, (dim,))
    probe(target, n=64, scale=1.0, seed=0, device="cpu")
    refuse_improper(target, scale=1.0, seed=0, device="cpu")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["half normal", "funnel", "two of three"])
@pytest.mark.parametrize("sampler", ["smc", "ais"])
def test_stated_errors_of_log_z_cover_the_truth_or_say_at_least(name: str, sampler: str) -> None:
    """Of 60 seeds at least 51 within 1.96 errors: of a coverage of 95 % fewer are seen once in 500, of 80 % mostly.

    On the funnel errors cover 33 (smc) and 29 (ais) of 60, on two of three modes 49 and 47, mostly from below, and
    cannot know it: what is seen of the ratio to a normal reference has a heavy tail. There "at least" has to be said,
    and to be true.
    """
    kind, covered, honest = KINDS[name], 0, 0
    assert kind.log_z is not None
    for seed in range(60):
        facts = make("sampler", sampler).fit(kind.target).draw(N, seed=seed).diagnostics
        error, bound = facts["log_z"] - kind.log_z, 1.96 * facts["log_z_std"]
        covered += abs(error) < bound
        honest += error < bound and (facts["log_z_at_least"] or error > -bound)
    assert (covered if name == "half normal" else honest) >= 51
