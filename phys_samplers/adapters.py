"""What a user has as a law: a log-density that is a function, or a ``torch.distributions`` object.

A law on a subset of R^D (positive numbers, an interval, the simplex, a circle) has a ``support``: rows are those of the
user, inside it, and samplers move in coordinates without borders (``phys_samplers.supports``, ``density.FlatDensity``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from phys_samplers.errors import ConfigurationError, DensityError
from phys_samplers.randomness import make_generator
from phys_samplers.supports import Support, support_of


class CallableLaw:
    """A law known by a function that gives its unnormalised log-density.

    A function that works in double precision alone (its constants are) gets its points so; what comes back has the
    dtype of the points. What it does wrong is told when it is first asked: ``DensityError`` for another shape, for
    something that is no tensor, for NaN or +∞ everywhere, and for whatever it raises itself.

    Args:
        log_prob: (B, *event_shape) → (B,).
        event_shape: of one row.
        score: its gradient, if it is given: (B, *event_shape) → (B, *event_shape).
        support: outside of which there is no density, and the function is not asked; None for all of R^D.

    Attributes:
        dtype: that it works in: float64 where it must be; None where it follows its points.
    """

    dtype: torch.dtype | None = None

    def __init__(
        self,
        log_prob: Callable[[Tensor], Tensor],
        event_shape: tuple[int, ...],
        score: Callable[[Tensor], Tensor] | None = None,
        support: Support | None = None,
    ) -> None:
        self.event_shape, self.support = event_shape, support
        self._log_prob, self._asked = log_prob, set[str]()
        if score is not None:
            self._score = score
            self.score = self._given_score

    def log_prob(self, x: Tensor) -> Tensor:
        """log p (B,) at ``x`` (B, *event_shape)."""
        inside = None
        if self.support is not None:
            x, inside = self.support.masked(x)
        value = self._answer(
            "log-density", self._log_prob, x, x.shape[:1], "one value per row", "sum over the last axis?"
        )
        return value if inside is None else torch.where(inside, value, -torch.inf)

    def _given_score(self, x: Tensor) -> Tensor:
        """∇ log p (B, *event_shape); a function that uses autograd inside may."""
        with torch.enable_grad():
            return self._answer(
                "score", self._score, x.detach(), x.shape, "the shape of x", "one number a row?"
            ).detach()

    def _answer(
        self, what: str, function: Callable[[Tensor], Tensor], x: Tensor, shape: torch.Size, expected: str, hint: str
    ) -> Tensor:
        try:
            value = function(x if self.dtype is None else x.to(self.dtype))
        except Exception as error:
            if self.dtype is None and x.dtype != torch.float64 and what not in self._asked and _answers(function, x):
                self.dtype = torch.float64
                return self._answer(what, function, x, shape, expected, hint)
            raise DensityError(
                f"the {what} raised {type(error).__name__} at points of shape {tuple(x.shape)} and {x.dtype}: {error}"
            ) from error
        if not isinstance(value, Tensor):
            raise DensityError(
                f"the {what} returned {type(value).__name__} for points of shape {tuple(x.shape)}; expected a tensor, "
                f"{expected}: write it in operations of torch (torch.from_numpy makes a tensor of an array)"
            )
        if value.shape != shape:
            raise DensityError(
                f"the {what} returned shape {tuple(value.shape)} for input {tuple(x.shape)}; expected {expected}, "
                f"{tuple(shape)} ({hint})"
            )
        if what not in self._asked and len(x):  # once, since it waits for the device
            if bool((value.isnan() | (value == torch.inf)).all()):
                raise DensityError(f"the {what} is {float(value.detach().flatten()[0])} at all of {len(x)} points")
            self._asked.add(what)
        return value.to(x.dtype)


def _answers(function: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether a function works in double precision."""
    try:
        function(x.double())
    except Exception:
        return False
    return True


class DistributionLaw:
    """One continuous distribution, normalised, with its own sampler where it has one.

    A scalar distribution is a law on R¹. Evaluation runs where the distribution's tensors are, whatever the device of
    the points. An argument at which the distribution gives no finite number has log-density −∞.

    Args:
        distribution: with an empty ``batch_shape``.

    Attributes:
        event_shape: of one row.
        support: of the distribution, None where that is all of R^D.
        dtype: of the distribution's tensors, in which densities are evaluated.

    Raises:
        ConfigurationError: for a batch of distributions, a discrete one, or one whose support has no bijection.
    """

    log_z = 0.0

    def __init__(self, distribution: Distribution) -> None:
        kind = type(distribution).__name__
        if distribution.batch_shape:
            raise ConfigurationError(
                f"{kind} is a batch of distributions of shape {tuple(distribution.batch_shape)}; expected one: "
                f"torch.distributions.Independent(distribution, {len(distribution.batch_shape)}) makes of them the "
                "independent coordinates of one"
            )
        self.distribution = _unchecked(distribution)
        self._scalar = not distribution.event_shape
        self.event_shape: tuple[int, ...] = tuple(distribution.event_shape) or (1,)
        self.support = _support(distribution, self.event_shape)
        try:
            # a draw of a generator of our own tells where the distribution's tensors are, and their precision
            drawn = _drawn(self.distribution, 1, None)
            self._device, self.dtype = drawn.device, drawn.dtype
        except NotImplementedError:
            self.sample = None  # type: ignore[method-assign,assignment]
            self._device, self.dtype = torch.device("cpu"), torch.get_default_dtype()
        try:
            middle = torch.zeros(2, *self.event_shape, dtype=self.dtype)
            if self.support is not None:
                middle = self.support.place(middle.new_full((2, self.support.dim), 0.5))[0]
            self.log_prob(middle)
        except Exception as error:
            raise ConfigurationError(
                f"{kind} cannot be taken in coordinates without borders ({type(error).__name__}: {error}); write its "
                "density as a function, −inf off its support: Density(log_prob, event_shape)"
            ) from error

    def log_prob(self, x: Tensor) -> Tensor:
        """log p (B,) at ``x`` (B, *event_shape)."""
        at, inside = x.to(self._device, self.dtype), None
        if self.support is not None:
            at, inside = self.support.masked(at)
        value = self.distribution.log_prob(at.squeeze(-1) if self._scalar else at)
        if not value.requires_grad and at.requires_grad:  # constant, as a uniform law is
            value = value + 0 * at.flatten(1).sum(1)
        known = value.isfinite() if inside is None else value.isfinite() & inside
        return torch.where(known, value, -torch.inf).to(x)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` draws (n, *event_shape) on the generator's device; there is none where the distribution has none.

        torch.distributions draws from torch's global state, which is lent the generator's state for the call and then
        put back: draws follow the generator, and the global state does not move. Not safe beside other threads that
        draw from the global state.
        """
        if generator.device == self._device:
            drawn = _drawn(self.distribution, n, generator)
        else:
            seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
            drawn = _drawn(self.distribution, n, make_generator(seed, "distribution", device=self._device))
        return (drawn.unsqueeze(-1) if self._scalar else drawn).to(generator.device)


def _drawn(distribution: Distribution, n: int, generator: torch.Generator | None) -> Tensor:
    """``n`` draws with the state of ``generator``, which moves on; any state if None. The global state stays."""
    cuda = generator is not None and generator.device.type == "cuda"
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        if generator is not None and cuda:
            torch.cuda.set_rng_state(generator.get_state(), generator.device)
        elif generator is not None:
            torch.set_rng_state(generator.get_state())
        drawn = distribution.sample((n,))
        if generator is not None:
            state = torch.cuda.get_rng_state(generator.device) if cuda else torch.get_rng_state()
            generator.set_state(state)
    return drawn


def _unchecked(distribution: Distribution) -> Distribution:
    """The same distribution, and those it is made of, without checks of arguments, which raise at NaN."""
    plain = copy.copy(distribution)
    plain._validate_args = False
    for name, part in vars(plain).items():
        if isinstance(part, Distribution):
            setattr(plain, name, _unchecked(part))
    return plain


def _support(distribution: Distribution, event_shape: tuple[int, ...]) -> Support | None:
    """That of the distribution; None where it is all of R^D."""
    kind = type(distribution).__name__
    try:
        support = distribution.support
    except NotImplementedError:
        support = None
    mixture = getattr(constraints, "MixtureSameFamilyConstraint", None)  # not in every torch from 2.4 on
    mixed = mixture is not None and isinstance(support, mixture)
    while mixture is not None and isinstance(support, mixture):
        support = support.base_constraint
    if support is None or support.is_discrete:
        raise ConfigurationError(
            f"the support of {kind} is {support}; expected a distribution with a density on R^D or a subset of it"
        )
    base = support
    while isinstance(base, constraints.independent):
        base = base.base_constraint
    bounds = [getattr(base, name, None) for name in ("lower_bound", "upper_bound")]
    if mixed and any(isinstance(bound, Tensor) and bound.numel() > 1 for bound in bounds):
        raise ConfigurationError(
            f"the components of {kind} have supports of their own, so that no bijection takes R^D onto all; write its "
            "density as a function, −inf off its support: Density(log_prob, event_shape)"
        )
    return support_of(support, event_shape)
