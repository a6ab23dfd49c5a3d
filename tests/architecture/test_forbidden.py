"""What library code never does: unpickle, seed or draw from global random state."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "torch.load": "torch.load unpickles; use safetensors",
    "torch.save": "torch.save pickles; use safetensors",
    "torch.manual_seed": "seeds the global generator; use make_generator",
    "torch.seed": "seeds the global generator; use make_generator",
    "torch.cuda.manual_seed": "seeds the global generator; use make_generator",
    "torch.cuda.manual_seed_all": "seeds the global generator; use make_generator",
    "random.seed": "seeds Python's global generator",
    "pandas.read_pickle": "unpickles",
    "pd.read_pickle": "unpickles",
    "eval": "executes text",
    "exec": "executes text",
}
TORCH_DRAWS = {"rand", "randn", "randint", "randperm", "normal", "multinomial", "bernoulli", "poisson"}
TENSOR_DRAWS = {
    *("normal_", "uniform_", "exponential_", "random_", "bernoulli_", "cauchy_", "geometric_", "log_normal_"),
    *("multinomial", "bernoulli"),
}
LIKE_DRAWS = {"rand_like", "randn_like", "randint_like", "dropout"}
"""These take no generator before torch 2.10, and so draw from the global one."""
NUMPY_ALLOWED = {"default_rng", "Generator", "PCG64", "SeedSequence", "RandomState", "get_state", "set_state"}
"""``get_state`` and ``set_state`` are how the conformance kit watches the global state."""
RANDOM_ALLOWED = {"Random", "SystemRandom", "getstate", "setstate"}
HIDDEN_DRAWS = {"Linear", "Bilinear", "Embedding", "Conv1d", "Conv2d", "LSTM", "GRU", "MultiheadAttention", "Dropout"}
"""Modules of torch.nn that initialise themselves from the global generator."""

SURE_INITS = {"zeros_", "ones_", "constant_", "eye_"}


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or an attribute of a name; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def offences(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and reason of every forbidden thing."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.partition(".")[0] in FORBIDDEN_MODULES:
                yield node.lineno, f"imports {name}, which executes code from data"
        if isinstance(node, ast.Call):
            for reason in call_offences(node):
                yield node.lineno, reason


def call_offences(call: ast.Call) -> Iterator[str]:
    name = dotted(call.func)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    generated = "generator" in given or None in given
    if name in FORBIDDEN_CALLS:
        yield f"{name}: {FORBIDDEN_CALLS[name]}"
    if name in ("np.load", "numpy.load"):
        allow = given.get("allow_pickle")
        if allow is not None and not (isinstance(allow, ast.Constant) and allow.value is False):
            yield "numpy.load with allow_pickle"
    owner, _, last = name.rpartition(".")
    if owner == "torch" and (last in LIKE_DRAWS or (last in TORCH_DRAWS and not generated)):
        yield f"{name} without generator="
    if owner in ("np.random", "numpy.random") and last not in NUMPY_ALLOWED:
        yield f"{name} draws from NumPy's global generator"
    if owner == "random" and last not in RANDOM_ALLOWED:
        yield f"{name} draws from Python's global generator"
    if owner in ("nn", "torch.nn") and last in HIDDEN_DRAWS:
        yield f"{name} draws its initial weights from the global generator"
    initialises = owner in ("nn.init", "torch.nn.init", "init")
    if initialises and last.endswith("_") and last not in SURE_INITS and not generated:
        yield f"{name} without generator="
    method = call.func.attr if isinstance(call.func, ast.Attribute) and owner != "torch" else ""
    if method in TENSOR_DRAWS and not initialises and not generated:
        yield f".{method}() without generator="


def test_library_code_does_nothing_forbidden(modules: dict[Path, ast.Module]) -> None:
    # benchmarks beside the package are scripts that measure speed
    library = {path: tree for path, tree in modules.items() if path.parts[:2] != ("benchmarks", "throughput")}
    assert [f"{path}:{line} {reason}" for path, tree in library.items() for line, reason in offences(tree)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from cloudpickle import dumps",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "torch.manual_seed(0)",
        "random.seed(0)",
        "random.random()",
        "np.random.normal()",
        "torch.randn(3)",
        "torch.randperm(3)",
        "torch.randn_like(x)",
        "x.normal_()",
        "weights.multinomial(3)",
        "nn.Linear(2, 3)",
        "nn.init.xavier_uniform_(w)",
        "exec(text)",
    ],
)
def test_the_rule_catches(source: str) -> None:
    assert list(offences(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "torch.randn(3, generator=generator)",
        "x.normal_(0.0, 1.0, generator=generator)",
        "np.load(path)",
        "np.load(path, allow_pickle=False)",
        "np.random.default_rng(3)",
        "streams.normal(3)",
        "nn.init.zeros_(w)",
        "safetensors.torch.load(payload)",
        "model.eval()",
    ],
)
def test_the_rule_lets_through(source: str) -> None:
    assert not list(offences(ast.parse(source)))
