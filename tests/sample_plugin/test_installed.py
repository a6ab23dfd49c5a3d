"""The foreign door: packages installed by pip, one good and one broken, in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

SCRIPT = """
import json, sys, tempfile
from phys_samplers import make, names, plugins, registry
owner = registry.owner("sampler", "sample-gaussian")
torch_by_listing = "torch" in sys.modules
from phys_samplers import load
from phys_samplers.testing import check_sampler, gaussian_target
results = check_sampler(make("sampler", "sample-gaussian"))
target = gaussian_target()
model = make("sampler", "sample-gaussian", temperature=4.0).fit(target, seed=0)
with tempfile.TemporaryDirectory() as folder:
    loaded = load(model.save(folder))
from phys_samplers import GaussianFit
from phys_samplers.metric import Scored
from phys_samplers.randomness import make_generator
distance = make("metric", "mean-distance")
samples = loaded.sample(2_000, seed=1)
print(json.dumps({
    "torch by listing": torch_by_listing,
    "owner": owner,
    "failed": [str(r) for r in results if not r.passed],
    "skipped": [r.name for r in results if r.skipped],
    "spread": (samples.std(0) / target.law.variance.sqrt()).tolist(),
    "distance": distance(Scored(samples=samples, reference=target.heldout, target=target, generator=make_generator(0))),
    "exported": GaussianFit.__module__,
    "samplers": names("sampler"),
    "plugins": {p.name: [p.status, p.source, p.distribution, p.version, p.error] for p in plugins()},
}))
"""


def python(*arguments: str, path: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed both packages."""
    folder = tmp_path_factory.mktemp("foreign")
    # a copy, so that building leaves nothing in the source tree
    source = shutil.copytree(HERE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "test_*"))
    site = folder / "site"
    python(
        *("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)),
        *(str(source), str(source / "broken")),
        path="",
        cwd=folder,
    )
    return site


@pytest.fixture(scope="module")
def seen(site: Path) -> dict:
    """What a process sees that has the folder on its path."""
    path = os.pathsep.join([str(site), *(entry for entry in sys.path if entry)])
    return json.loads(python("-c", SCRIPT, path=path, cwd=site.parent))


def test_the_plugin_is_registered_without_an_edit_here(seen: dict) -> None:
    assert "sample-gaussian" in seen["samplers"]
    assert seen["owner"] == "sample-plugin"
    assert seen["plugins"]["sample-plugin"] == ["loaded", "entry point", "phys-sample-plugin", "0.1.0", ""]
    assert seen["exported"] == "phys_sample_plugin.sampler"
    assert not seen["torch by listing"]


def test_its_sampler_keeps_the_contract(seen: dict) -> None:
    assert seen["failed"] == []
    assert set(seen["skipped"]) == {
        "callbacks_hear_of_training",
        "other_seeds_give_other_fits",
        "start_is_followed_or_refused",
        "checkpoint_asks_for_target",
    }


def test_its_sampler_and_its_metric_work(seen: dict) -> None:
    # 2,000 draws: the standard error of a spread of 2 is 0.032, of the distance of the means about 0.03
    assert seen["spread"] == pytest.approx([2.0, 2.0], abs=0.15)
    assert 0 < seen["distance"] < 0.15


def test_the_broken_plugin_is_reported_and_harmless(seen: dict) -> None:
    status, source, distribution, version, error = seen["plugins"]["broken-plugin"]
    assert (status, source, distribution, version) == ("failed", "entry point", "phys-broken-plugin", "0.2.0")
    assert error == "RuntimeError: this plugin is broken on purpose"
    assert {"bellman", "exact"} <= set(seen["samplers"])


@pytest.mark.slow
def test_the_plugins_own_test_class_works(site: Path, tmp_path: Path) -> None:
    """What a plugin author writes: one test file with one class."""
    (tmp_path / "test_mine.py").write_text(
        "from phys_sample_plugin.sampler import GaussianFit\n"
        "from phys_samplers.testing import SamplerConformance\n\n\n"
        "class TestGaussianFit(SamplerConformance):\n"
        "    recipe = GaussianFit()\n"
    )
    path = os.pathsep.join([str(site), *(entry for entry in sys.path if entry)])
    output = python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path), path=path, cwd=tmp_path)
    assert "22 passed, 4 skipped" in output
