r"""A ``torch.distributions`` object as a law on all of R^D.

A distribution on a subset of R^D (positive numbers, an interval, the simplex) is taken in unconstrained coordinates z,
x = T(z) with the bijection T that ``torch.distributions.biject_to`` names for its support, and

    log p(z) = log p(x) + log |det ∂T/∂z|,

so that its integral stays one and samplers of R^D need to know nothing of borders.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.distributions import Distribution, Transform, biject_to, constraints

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator


class DistributionLaw:
    """One continuous distribution, normalised, with its own sampler where it has one.

    Where the distribution lives on a subset of R^D, every row here is in unconstrained coordinates; ``to_support`` and
    ``from_support`` go between the two. A scalar distribution is a law on R¹. Evaluation runs where the distribution's
    tensors are, whatever the device of the points. An argument at which the distribution gives no finite number (the
    image of a far point may round onto the border of the support) has log-density −∞.

    Args:
        distribution: with an empty ``batch_shape``.

    Attributes:
        event_shape: of one unconstrained row.
        transform: T, None where the support is all of R^D.

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
        self.transform = _transform(distribution)
        shape = distribution.event_shape
        if self.transform is not None:
            shape = self.transform.inverse_shape(shape)
        self._scalar = not shape
        self.event_shape: tuple[int, ...] = tuple(shape) or (1,)
        try:
            # a draw of a generator of our own tells where the distribution's tensors are
            self._device = _drawn(self.distribution, 1, None).device
        except NotImplementedError:
            self.sample = None  # type: ignore[method-assign,assignment]
            self._device = torch.device("cpu")

    def to_support(self, z: Tensor) -> Tensor:
        """x (B, …) as the distribution has it, of unconstrained rows z (B, *event_shape)."""
        z = z.squeeze(-1) if self._scalar else z
        return z if self.transform is None else self.transform(z)

    def from_support(self, x: Tensor) -> Tensor:
        """Unconstrained rows z (B, *event_shape) of x (B, …)."""
        z = x if self.transform is None else self.transform.inv(x)
        return z.unsqueeze(-1) if self._scalar else z

    def log_prob(self, z: Tensor) -> Tensor:
        """log p (B,) at ``z`` (B, *event_shape)."""
        at = z.to(self._device)
        x = self.to_support(at)
        value = self.distribution.log_prob(x)
        if self.transform is not None:
            volume = self.transform.log_abs_det_jacobian(at.squeeze(-1) if self._scalar else at, x)
            value = value + volume.reshape(len(at), -1).sum(1)
        return torch.where(value.isfinite(), value, -torch.inf).to(z.device)

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
        return self.from_support(drawn).to(generator.device)


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


def _transform(distribution: Distribution) -> Transform | None:
    """The bijection from R^D onto the support; None where that is all of R^D."""
    kind = type(distribution).__name__
    try:
        support = distribution.support
    except NotImplementedError:
        support = None
    mixture = getattr(constraints, "MixtureSameFamilyConstraint", None)  # not in every torch from 2.4 on
    while mixture is not None and isinstance(support, mixture):
        support = support.base_constraint
    if support is None or support.is_discrete:
        raise ConfigurationError(
            f"the support of {kind} is {support}; expected a distribution with a density on R^D or a subset of it"
        )
    base = support
    while isinstance(base, constraints.independent):
        base = base.base_constraint
    if base is constraints.real:
        return None
    try:
        return biject_to(support)
    except NotImplementedError:
        raise ConfigurationError(
            f"torch.distributions.biject_to knows no bijection from R^D onto {support}, the support of {kind}; write "
            "its density in unconstrained coordinates and give that as a callable: Density(log_prob, event_shape)"
        ) from None
