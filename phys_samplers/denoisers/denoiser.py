"""The denoiser D(x, σ) ≈ E[x₀ | x₀ + σn = x], what its network predicts, its loss, and what it runs backwards.

    D(x, σ) = c_skip x + c_out F(c_in x, ¼ log σ),        c_in = 1/√(σ² + σ_d²),

so that the network F sees inputs of unit variance at every noise level (Karras et al. 2022, EDM, arXiv:2206.00364,
Sec. 5 and Table 1). With data of standard deviation σ_d, the parametrisations are

    ``edm``      c_skip = σ_d²/(σ² + σ_d²)   c_out = σ σ_d/√(σ² + σ_d²)   targets of unit variance
    ``v``        the same with −F in place of F: F predicts v (Salimans & Ho 2022, arXiv:2202.00512)
    ``epsilon``  c_skip = 1                  c_out = −σ                   F predicts the noise ε (Ho et al. 2020)
    ``x0``       c_skip = 0                  c_out = σ_d                  F predicts the clean sample, over σ_d

A process x_t = α x₀ + σ_t n is the same thing at x = x_t/α, σ = σ_t/α: for α² + σ_t² = 1 and σ_d = 1 the network
sees c_in x = x_t, and v is the α ε − σ x₀ of the literature. The loss weight 1/c_out² gives F's error unit weight at
every level. The score of the blurred law is ``(D − x)/σ²`` (Tweedie).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from phys_samplers.conditions import apart, strangers_of
from phys_samplers.dynamics import DenoisingDynamics, Normals
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import Field, stacked_product
from phys_samplers.objective import Loss
from phys_samplers.options import Part, fit_option, make_part
from phys_samplers.randomness import Prepared, Streams

Parametrisation = Literal["edm", "v", "epsilon", "x0"]


def denoise_at(module: nn.Module, x: Tensor, sigma: float, *code: Tensor) -> Tensor:
    """D(x, σ) (B, D) at x (B, D) and one level, by a stacked denoiser of one replica; with codes (B, K) if any."""
    level = torch.full((1, 1), sigma, dtype=x.dtype, device=x.device)
    clean: Tensor = module(x.unsqueeze(0), level, *(some.unsqueeze(0).to(x.dtype) for some in code)).squeeze(0)
    return clean


class Denoiser(nn.Module):
    """A stacked denoiser.

    Args:
        field: the network F.
        dim: coordinates D of a sample.
        sigma_data: standard deviation of the (standardised) data.
        parametrisation: what F predicts.
        streams: one per replica.
        code_width: K of the codes of what it is given, see ``phys_samplers.conditions``; 0 for a law of x alone.

    Raises:
        ConfigurationError: if there is no such parametrisation.
    """

    def __init__(
        self,
        field: Field,
        dim: int,
        *,
        streams: Streams,
        sigma_data: float = 1.0,
        parametrisation: Parametrisation = "edm",
        code_width: int = 0,
    ) -> None:
        super().__init__()
        if parametrisation not in get_args(Parametrisation):
            raise ConfigurationError(
                f"parametrisation is {parametrisation!r}; expected one of {', '.join(get_args(Parametrisation))}"
            )
        self.sigma_data = sigma_data
        self.parametrisation = parametrisation
        self.code_width = code_width
        taken = {"code_width": code_width} if code_width else {}
        self.network = field.build(dim, dim, streams=streams, conditioned=True, out_gain=0.1, **taken)

    def point_level(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The level (R, B) or (R, 1) that the network is preconditioned at; kernels with tails have one a point."""
        return sigma

    def forward(self, x: Tensor, sigma: Tensor, code: Tensor | None = None) -> Tensor:
        """D(x, σ | code): (R, B, D), (R, B) or (R, 1), codes (R, B, K) or (R, 1, K) if it takes any → (R, B, D)."""
        level = self.point_level(x, sigma)
        s, scale = self._scaled(level)
        given = () if code is None else (code,)
        raw = self.network(x * scale, level.log() * 0.25, *given)
        match self.parametrisation:
            case "epsilon":
                return torch.addcmul(x, raw, s, value=-1)
            case "x0":
                return raw * self.sigma_data
        gain = s * scale * (self.sigma_data if self.parametrisation == "edm" else -self.sigma_data)
        return torch.addcmul(raw * gain, x, (scale * self.sigma_data).square())

    def regression(self, x: Tensor, sigma: Tensor, clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the network sees, c_in x and ¼ log σ, and what it is to say of it, (clean − c_skip x)/c_out.

        Its squared error has weight 1 where that of D has the loss weight. No weights of the network enter.
        """
        level = self.point_level(x, sigma)
        s, scale = self._scaled(level)
        match self.parametrisation:
            case "epsilon":
                wanted = (x - clean) / s
            case "x0":
                wanted = clean / self.sigma_data
            case kind:
                gain = s * scale * (self.sigma_data if kind == "edm" else -self.sigma_data)
                wanted = torch.addcmul(clean, x, (scale * self.sigma_data).square(), value=-1) / gain
        return x * scale, level.log() * 0.25, wanted

    def _scaled(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """σ and c_in, (R, B, 1)."""
        s = level.unsqueeze(-1)
        return s, (s.square() + self.sigma_data**2).rsqrt()

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """1/c_out², which gives F unit effective weight at every level (EDM Eq. 8); 1/σ² is Ho et al.'s L_simple.

        A subclass with another weight, or another ``forward``, changes ``regression`` too.
        """
        match self.parametrisation:
            case "epsilon":
                return sigma.square().reciprocal()
            case "x0":
                return torch.full_like(sigma, self.sigma_data**-2)
        return (sigma.square() + self.sigma_data**2) / (sigma * self.sigma_data).square()


Levels = Literal["lognormal", "log-uniform", "schedule"]
_GROUP, _CHUNK = 128, 2_048
"""Rows of a batch that stable targets are means over unless ``reference`` says otherwise; rows weighed at once."""


@dataclass(frozen=True, kw_only=True)
class DenoisingLoss(Loss):
    """E w(σ) |D(x + σn, σ) − x|² over noise levels σ; the module's weight w makes all levels weigh alike.

    In the form of EDM (Karras et al. 2022, arXiv:2206.00364, Sec. 5).

    Its minimiser is the posterior mean E[x | x + σn], so (D − x)/σ² is the score of the blurred law (Vincent 2011).

    Args:
        log_sigma_mean: P_mean; EDM's −1.2 for data of standard deviation ½ is −1.2 + ln 2 ≈ −0.5 for unit variance.
        log_sigma_std: P_std of EDM.
        levels: ``"lognormal"``: log σ ~ N(log_sigma_mean, log_sigma_std²), clamped to the bounds; ``"log-uniform"`` on
            [sigma_min, sigma_max]; ``"schedule"``: σ/α of a noise schedule at uniform times (Ho et al. 2020).
        schedule: the noise schedule, by name, mapping or object, for ``levels="schedule"``; a sampler fills in its own.
        sigma_min: smallest level; lognormal levels are clamped to it.
        sigma_max: largest level.
        stable_target: replace x by its posterior mean over (at most 128) rows of the batch, its own among them (Xu,
            Tong & Jaakkola 2023), see ``posterior_mean``: the same minimiser, with far less noise where several modes
            explain a point.
        reference: n, the rows that stable targets are means over, apart from the batch size (thesis, Eq. 3.5 and
            Alg. 1): rows of the batch up to its size; above it the batch and further training rows; all the training
            rows, and exact targets of that set, if n is their number or more. 1 is denoising score matching; None
            stands for ``stable_target``'s groups of the batch.
        condition_dropout: share of the rows whose condition is not shown, where they have one: of these the network
            learns the unconditional law, for classifier-free guidance (Ho & Salimans 2022, Alg. 1).
    """

    prepares: ClassVar[bool] = True

    log_sigma_mean: float = -0.5
    log_sigma_std: float = 1.2
    levels: Levels = "lognormal"
    schedule: Part | None = None
    sigma_min: float = 0.01
    sigma_max: float = 10.0
    stable_target: bool = True
    reference: int | None = fit_option(None, least=1)
    condition_dropout: float = fit_option(0.1, least=0, most=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule is not None:
            object.__setattr__(self, "schedule", make_part("schedule", self.schedule))
        if not 0 < self.sigma_min < self.sigma_max:
            raise ConfigurationError(
                f"sigma_min is {self.sigma_min} and sigma_max {self.sigma_max}; expected 0 < sigma_min < sigma_max"
            )

    def __call__(self, module: nn.Module, rows: Tensor, streams: Streams) -> Tensor:
        """See ``Loss``; ``module`` is a ``Denoiser``. Codes that it takes are the last coordinates of the rows."""
        return self.of(module, self.prepare(module, rows, streams))

    def beside(self, batch: int, available: int) -> int | None:
        """See ``Loss.beside``."""
        if self.reference is None or self.reference <= batch:
            return 0
        return None if self.reference >= available else self.reference - batch

    def against(self, module: nn.Module, rows: Tensor, others: Tensor, streams: Streams, *, whole: bool) -> Tensor:
        """See ``Loss.against``."""
        return self.of(module, self.prepare(module, rows, streams, others, whole=whole))

    def prepare(
        self, module: nn.Module, rows: Tensor, streams: Streams, others: Tensor | None = None, *, whole: bool = False
    ) -> Prepared:
        """See ``Loss.prepare``: what the network sees, the level it is told, what it is to say, and codes if any."""
        code = shown = strangers = reference = theirs = None
        if others is not None:
            reference = others if whole else torch.cat((rows, others), 1)
        if width := getattr(module, "code_width", 0):
            rows, code = apart(rows, width)
            if reference is not None:
                reference, theirs = apart(reference, width)
        sigma = self.sample_sigma(streams, rows.shape[1]).to(rows.dtype)
        noised = self.perturb(rows, sigma, streams)
        if code is not None:
            shown = streams.uniform(rows.shape[1]).ge(self.condition_dropout).unsqueeze(-1)
        if reference is not None:
            if code is not None and theirs is not None and shown is not None:
                strangers = strangers_of(code, theirs, shown)
            target = self.posterior_mean(noised, sigma, reference, strangers)
        else:
            target = self._targets(noised, sigma, rows, code, shown)
        seen = module.regression(noised, sigma, target) if isinstance(module, Denoiser) else (noised, sigma, target)
        return (*seen, code * shown) if code is not None and shown is not None else seen

    def of(self, module: nn.Module, prepared: Prepared) -> Tensor:
        """See ``Loss.of``."""
        x, level, wanted, *code = prepared
        if isinstance(module, Denoiser):
            return functional.mse_loss(module.network(x, level, *code), wanted, reduction="none").mean((1, 2))
        error = (module(x, level, *code) - wanted).square().mean(-1)
        return (error * module.loss_weight(level)).mean(-1)  # type: ignore[operator]

    def perturb(self, rows: Tensor, sigma: Tensor, streams: Streams) -> Tensor:
        """x + σn, (R, B, D)."""
        noise = streams.normal(*rows.shape[1:], dtype=rows.dtype)
        return torch.addcmul(rows, noise, sigma.unsqueeze(-1))

    def log_kernel(self, squared: Tensor, sigma: Tensor, dim: int) -> Tensor:
        """log N(x; y, σ² I) up to a constant of x, for squared distances |x − y|² (R, B, M) and σ (R, B, 1)."""
        return squared / (-2 * sigma.square())

    def _targets(
        self, noised: Tensor, sigma: Tensor, rows: Tensor, code: Tensor | None, shown: Tensor | None
    ) -> Tensor:
        size = (_GROUP if self.stable_target else 1) if self.reference is None else self.reference
        if size == 1:
            return rows
        # Groups keep the cost linear in the batch; every group holds the sources of its own points.
        means = []
        for start in range(0, rows.shape[1], size):
            x, level, sources = (part[:, start : start + size] for part in (noised, sigma, rows))
            strangers = None
            if code is not None and shown is not None:
                own = code[:, start : start + size]
                strangers = strangers_of(own, own, shown[:, start : start + size])
            means.append(self.posterior_mean(x, level, sources, strangers))
        return means[0] if len(means) == 1 else torch.cat(means, 1)

    def posterior_mean(self, noised: Tensor, sigma: Tensor, rows: Tensor, strangers: Tensor | None = None) -> Tensor:
        """Σ_j w_j y_j with w_j ∝ k(x | y_j) over the rows y: (R, B, D), (R, B), (R, M, D) → (R, B, D).

        The stable target field of Xu, Tong & Jaakkola 2023 (arXiv:2302.00670). As the rows hold the one that generated
        each noised point, this is the conditional expectation of that row given the point and the *set* of rows
        (exchangeable, each equally likely to be the source), so its mean given the point is still E[x₀ | x]: unbiased
        for every number of rows, with no more variance than x₀ itself (Rao–Blackwell). Many rows come in chunks, whose
        sums are kept relative to the largest weight so far, so that memory does not grow with them.

        ``strangers`` (R, B, M) are the rows that a point, whose condition is shown, cannot be from; the same holds for
        E[x₀ | x, c] with those that are left, which are equally likely to be the source too.
        """
        chunks = rows.split(_CHUNK, 1)
        if len(chunks) > 1:
            mean = torch.zeros_like(noised)
            total, top = mean[..., :1], torch.full_like(mean[..., :1], -math.inf)
        for index, chunk in enumerate(chunks):
            squared = torch.cdist(noised, chunk, compute_mode="use_mm_for_euclid_dist").square_()
            log_w = self.log_kernel(squared, sigma.unsqueeze(-1), rows.shape[-1])
            if strangers is not None:  # finite, so that a chunk of strangers alone counts until a chunk with others
                log_w = log_w.masked_fill(strangers.split(_CHUNK, 2)[index], torch.finfo(log_w.dtype).min)
            if len(chunks) == 1:
                return stacked_product(torch.softmax(log_w, -1), chunk)
            high = torch.maximum(top, log_w.amax(-1, keepdim=True))
            w, shrink = (log_w - high).exp_(), (top - high).exp_()
            mean = stacked_product(w, chunk).addcmul_(mean, shrink)
            total, top = w.sum(-1, keepdim=True).addcmul_(total, shrink), high
        return mean / total

    def sample_sigma(self, streams: Streams, batch: int) -> Tensor:
        """Noise levels (R, B)."""
        if self.levels == "schedule":
            if self.schedule is None:
                raise ConfigurationError(
                    "levels is 'schedule' but schedule is None; name one, e.g. schedule=\"linear\", or use a sampler "
                    "that has one"
                )
            return self.schedule.training_ratios(streams, batch)
        if self.levels == "lognormal":
            log_sigma = streams.normal(batch) * self.log_sigma_std + self.log_sigma_mean
            return log_sigma.exp_().clamp_(self.sigma_min, self.sigma_max)
        ratio = self.sigma_max / self.sigma_min
        return torch.pow(ratio, streams.uniform(batch)).mul_(self.sigma_min)


Denoise = Callable[[Tensor, float], Tensor]
"""D(u, λ): (B, D), λ → (B, D), a new tensor, which the caller may overwrite."""
Prior = Callable[[int, torch.Generator], Tensor]
"""Starting points u (n, D) at the largest λ."""
Perturb = Callable[[Tensor, float, float, Normals], Tensor]
"""u (B, D) at a low λ brought to a high one by the forward process; see ``DenoisingDynamics.perturb``."""


def broad_normal(n: int, dim: int, ratio: float, generator: torch.Generator) -> Tensor:
    """``n`` draws (n, dim) of N(0, (1 + λ²) I): the moments of standardised data with noise of level λ = ``ratio``."""
    z = torch.randn(n, dim, generator=generator, device=generator.device, dtype=torch.float32)
    return z.mul_(math.sqrt(1 + ratio**2))


class DenoisingFlow(DenoisingDynamics):
    """du/dλ = (u − D(u, λ))/λ with λ as the time, from ``start`` down to 0.

    Args:
        denoise: D.
        prior: of the starting points.
        dim: coordinates D.
        start: the largest λ.
        perturb: the forward kernel; None for Gaussian noise.
    """

    def __init__(
        self, denoise: Denoise, prior: Prior, dim: int, *, start: float, perturb: Perturb | None = None
    ) -> None:
        self._denoise, self._prior, self._perturb = denoise, prior, perturb
        self.event_shape = (dim,)
        self.times = (start, 0.0)

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """D(u, λ)."""
        return self._denoise(x, t)

    def perturb(self, x: Tensor, low: float, high: float, noise: Normals) -> Tensor:
        """See ``DenoisingDynamics.perturb``."""
        return (self._perturb or super().perturb)(x, low, high, noise)

    def drift(self, x: Tensor, t: float) -> Tensor:
        """(u − D)/λ."""
        return (x - self._denoise(x, t)).div_(t)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Starting points u."""
        return self._prior(n, generator)
