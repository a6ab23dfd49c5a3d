r"""Pictures of equations as generators: those that work (density and flow, lines, samples), and two that cannot.

The flows are exact, of 200 rows of ``moons``: no network. ``genphys-works.png`` has a column an equation: p at a middle
level with the flow, the lines back through it, and where 150 lines end. ``genphys-fails.png`` shows on the line what
Eq. 9.8 of the thesis is about: two data laws under the same equation, early and late. Under diffusion, Poisson and
Yukawa one does not tell them apart in the end; under the ideal wave and Schrödinger's equation one does for ever, and
the biharmonic equation makes negative densities of both. Numbers are the overlap F of A.135, normalised for both laws,
at each time. All panels have one scale: x over the size s of
what the data have spread to (1 at the start), p over its greatest value there.

python benchmarks/studies/genphys_pictures.py
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from phys_genphys import EmpiricalFlow
from phys_samplers import make
from phys_samplers.dynamics import DenoisingDynamics
from phys_samplers.integrators import EDMHeun, integrate
from phys_samplers.options import make_part
from phys_samplers.randomness import Streams
from phys_samplers.schedules import EDMSchedule

matplotlib.use("Agg")
import matplotlib.pyplot as plt

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
ROWS, LINES = 200, 150
WORK = (
    ("diffusion", "diffusion"),
    ("poisson", "Poisson"),
    ("screened-poisson[m=0.3]", "screened Poisson, m = .3"),
    ("mixed-diffusion-poisson", "mixed diffusion–Poisson"),
    ("helmholtz[k0=0.015]", "Helmholtz, k₀ = .015"),
    ("dissipative-wave[epsilon=40.0]", "dissipative wave, ε = 40"),
)


class Exact(DenoisingDynamics):
    """The exact flow of the rows, from starting points at the level ``top``."""

    def __init__(self, flow: EmpiricalFlow, start: torch.Tensor, top: float) -> None:
        self.flow, self.start = flow, start
        self.event_shape, self.times = (start.shape[1],), (top, 0.0)

    def denoise(self, x: torch.Tensor, t: float) -> torch.Tensor:
        """D(x, σ)."""
        clean: torch.Tensor = self.flow(x.unsqueeze(0), torch.full((1, 1), t).to(x))[0]
        return clean

    def drift(self, x: torch.Tensor, t: float) -> torch.Tensor:
        """(x − D)/σ."""
        return (x - self.denoise(x, t)) / t

    def prior(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """The starting points."""
        return self.start


def works() -> None:
    """``genphys-works.png``."""
    task = make("task", "moons")
    rows = task.train[:ROWS].double()
    rows = (rows - rows.mean(0)) / rows.std(0, correction=0)
    figure, axes = plt.subplots(3, len(WORK), figsize=(2.1 * len(WORK), 6.6), dpi=80)
    for column, (text, title) in enumerate(WORK):
        pde = make_part("pde", text)
        flow, streams = EmpiricalFlow(pde, rows), Streams([0], "lines")
        top, middle, low = 5.0, 0.6, 0.08 if text.startswith("dissipative") else 0.02
        field(axes[0, column], flow, rows, middle)
        start = rows[streams.integers(ROWS, LINES)[0]] + pde.noise(torch.full((1, LINES), top).double(), 2, streams)[0]
        grid = (*EDMSchedule(sigma_max=top, sigma_min=low).points(25), 0.0)
        solution = integrate(Exact(flow, start, top), start, integrator=EDMHeun(), grid=grid, bound=math.inf, record=1)
        assert solution.trajectory is not None
        states, levels = solution.trajectory.states[:, :60].numpy(), np.array(solution.trajectory.times)
        axes[1, column].plot(states[:, :, 0], levels, lw=0.5, color="#30507a", alpha=0.6)
        axes[1, column].set(xlim=(-8, 8), ylim=(0, top), xticks=(-6, 0, 6), yticks=(0, top), xlabel="x₁")
        end = solution.x.numpy()
        axes[2, column].scatter(rows[:, 0], rows[:, 1], s=9, color="#cccccc", lw=0)
        axes[2, column].scatter(end[:, 0], end[:, 1], s=3, color="#b03a2e", lw=0)
        axes[2, column].set(
            xlim=(-3, 3), ylim=(-3, 3), xticks=(-2, 0, 2), yticks=(-2, 0, 2), xlabel="x₁", aspect="equal"
        )
        axes[0, column].set_title(title, fontsize=9)
    for axis, label in zip(
        axes[:, 0], (f"p and flow at σ = {middle}: x₂", "lines: σ", "ends, and rows (grey): x₂"), strict=True
    ):
        axis.set_ylabel(label, fontsize=8)
    for axis in axes.flat:
        axis.tick_params(labelsize=7, length=2, pad=1)
        axis.xaxis.labelpad = 0
    figure.tight_layout(pad=0.4, w_pad=0.2, h_pad=0.3)
    save(figure, "genphys-works.png")


def save(figure: plt.Figure, name: str) -> None:
    """A small file: 96 colours."""
    figure.savefig(IMAGES / name)
    Image.open(IMAGES / name).convert("RGB").quantize(96).save(IMAGES / name, optimize=True)


def field(axis: plt.Axes, flow: EmpiricalFlow, rows: torch.Tensor, level: float) -> None:
    """p on a grid, and the direction of the flow, dx/dlog σ = x − D."""
    side = torch.linspace(-3, 3, 70, dtype=torch.float64)
    x = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).reshape(-1, 2)
    squared = torch.cdist(x, rows).square()
    p = flow.pde.log_density(squared, torch.full_like(squared, level), 2).exp().mean(1).view(70, 70)
    axis.imshow(p, origin="lower", extent=(-3, 3, -3, 3), cmap="Blues")
    some = x.view(70, 70, 2)[5::8, 5::8].reshape(1, -1, 2)
    step = (some - flow(some, torch.full((1, 1), level, dtype=torch.float64)))[0].numpy()
    axis.quiver(some[0, :, 0], some[0, :, 1], step[:, 0], step[:, 1], color="#b03a2e", scale=28, width=0.006)
    axis.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2), xlabel="x₁")


Evolved = Callable[[NDArray[np.complex128], NDArray[np.float64], float], NDArray[np.float64]]
"""p of a data law's transform at wave numbers k, at a time; on the grid of the transform."""
TIMES = (0.5, 4.0, 30.0)


def fading(omega: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Evolved:
    """p̂ = e^{−ωt} p̂₀ of one branch."""
    return lambda hat, k, t: np.fft.ifft(hat * np.exp(-omega(np.abs(k)) * t)).real


def ideal_wave(hat: NDArray[np.complex128], k: NDArray[np.float64], t: float) -> NDArray[np.float64]:
    """p = φ_t from φ = 0, φ_t = data: two copies that run apart."""
    return np.fft.ifft(hat * np.cos(k * t)).real


def schroedinger(hat: NDArray[np.complex128], k: NDArray[np.float64], t: float) -> NDArray[np.float64]:
    """p = |φ|² from φ = the root of the data; ``hat`` is the root's transform."""
    return np.abs(np.fft.ifft(hat * np.exp(-1j * k * k * t))) ** 2


FATES: tuple[tuple[str, Evolved], ...] = (
    ("diffusion", fading(lambda k: k * k)),
    ("Poisson", fading(lambda k: k)),
    ("Yukawa, m = .2", fading(lambda k: np.sqrt(k * k + 0.04) - 0.2)),
    ("ideal wave", ideal_wave),
    ("Schrödinger", schroedinger),
    ("biharmonic", fading(lambda k: k**4)),
)

LAWS = (("data: two clusters, at −2 and 1", "#30507a"), ("data: one cluster, at 0.3", "#b03a2e"))
SPREAD: dict[str, Callable[[float], float]] = {
    "diffusion": lambda t: math.sqrt(2 * t),
    "biharmonic": lambda t: t**0.25,
    "Schrödinger": lambda t: 2 * t,
    "Yukawa, m = .2": lambda t: math.sqrt(t / 0.2) if t > 5 else t,
}
"""What a point has spread to; t where nothing is said."""


def fails() -> None:
    """``genphys-fails.png``: columns are equations, rows are times, curves are two data laws."""
    points, length = 2**14, 800.0
    x = (np.arange(points) - points // 2) * (length / points)
    k = 2 * np.pi * np.fft.fftfreq(points, length / points)

    def law(centres: tuple[float, ...], width: float) -> NDArray[np.float64]:
        p = sum(np.exp(-0.5 * ((x - c) / width) ** 2) for c in centres)
        return np.asarray(p / (p.sum() * (x[1] - x[0])))

    laws = (law((-2.0, 1.0), 0.25), law((0.3,), 0.6))
    figure, axes = plt.subplots(len(TIMES), len(FATES), figsize=(2.1 * len(FATES), 5.0), dpi=80)
    for column, (title, evolve) in enumerate(FATES):
        for row, t in enumerate(TIMES):
            found = []
            for p in laws:
                start = np.sqrt(p) if title == "Schrödinger" else p
                found.append(np.fft.fftshift(evolve(np.fft.fft(np.fft.ifftshift(start)), k, t)))
            a, b = found
            overlap = (a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum())
            size, axis = 1 + SPREAD.get(title, lambda t: t)(t), axes[row, column]
            greatest = max(a.max(), b.max())
            for p, (label, colour) in zip(found, LAWS, strict=True):
                axis.plot(x / size, p / greatest, color=colour, lw=0.9, label=label)
            axis.axhline(0, color="#999999", lw=0.5)
            axis.set(xlim=(-3.5, 3.5), ylim=(-0.2, 1.45), xticks=(-3, 0, 3), yticks=(0, 1))
            axis.tick_params(labelsize=7, length=2, pad=1, labelbottom=row == len(TIMES) - 1, labelleft=column == 0)
            least = min(a.min(), b.min()) / greatest
            told = f"F = {overlap:.2f}, s = {size:.3g}" + (f", least {least:.2f}" if least < -1e-3 else "")
            axis.text(0.03, 0.9, told, transform=axis.transAxes, fontsize=7)
        axes[-1, column].set_xlabel("x/s", fontsize=8, labelpad=0)
        axes[0, column].set_title(title, fontsize=9)
    for axis, t in zip(axes[:, 0], TIMES, strict=True):
        axis.set_ylabel(f"p/greatest, t = {t:g}", fontsize=8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="upper center", ncols=2, fontsize=8, frameon=False)
    figure.tight_layout(pad=0.4, w_pad=0.2, rect=(0, 0, 1, 0.95))
    save(figure, "genphys-fails.png")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.no_grad():
        works()
    fails()
