"""The table tasks: columns by the stated rules, splits, noise, scale, and what they offer."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from phys_bench.data import bundled_table, uci
from phys_bench.scoring import floor_facts, reference_rows
from phys_bench.tasks import tables
from phys_bench.tasks.assemble import split
from phys_bench.tasks.tables import TABLE_METRICS, dequantised, resolution, table_task
from phys_samplers.catalogue import make, names
from phys_samplers.metric import Scored
from phys_samplers.target import Task

PUBLISHED = {"abalone": 7, "telemonitoring": 16, "parkinsons": 15, "mushroom": 5, "red-wine": 10}
BUNDLED = {"wine": 13, "breast-cancer": 30, "diabetes": 10, "iris": 4}
DIMENSIONS = PUBLISHED | BUNDLED
SIZES = {
    "abalone": (2924, 418, 835),
    "telemonitoring": (4112, 588, 1175),
    "parkinsons": (136, 20, 39),
    "mushroom": (5687, 812, 1625),
    "red-wine": (951, 136, 272),
    "wine": (125, 18, 35),
    "breast-cancer": (398, 57, 114),
    "diabetes": (309, 44, 89),
    "iris": (104, 15, 30),
}
SPLITS = ("train", "validation", "heldout")
GetTask = Callable[[str], Task]


@pytest.fixture
def get(request: pytest.FixtureRequest) -> GetTask:
    """Make a task, or skip the test where its data are not here."""

    def task_of(name: str) -> Task:
        if name in PUBLISHED:
            request.getfixturevalue("uci_data")
        task: Task = make("task", name)
        return task

    return task_of


def rows_of(task: Task, which: str) -> Tensor:
    rows = getattr(task, which)
    assert rows is not None
    return rows


@pytest.mark.parametrize("name", DIMENSIONS)
def test_shape_of_a_task(name: str, get: GetTask) -> None:
    task = get(name)
    assert task.name == name
    assert task.version == 1
    assert task.event_shape == (DIMENSIONS[name],)
    assert task.capabilities == {"samples"}
    assert tuple(len(rows_of(task, which)) for which in SPLITS) == SIZES[name]
    assert task.eval_size == min(1000, SIZES[name][2])
    assert task.metrics == TABLE_METRICS
    assert task.metrics[0] == "w1"
    assert set(task.metrics) <= set(names("metric"))
    assert {rows_of(task, which).dtype for which in SPLITS} == {torch.get_default_dtype()}
    assert len(task.view) == task.dim


@pytest.mark.parametrize("name", DIMENSIONS)
def test_training_rows_are_standardised_and_nothing_repeats(name: str, get: GetTask) -> None:
    task = get(name)
    train = rows_of(task, "train").double()
    assert train.mean(0).abs().max() < 1e-5
    assert train.std(0).sub(1.0).abs().max() < 1e-5
    rows = torch.cat([rows_of(task, which) for which in SPLITS])
    assert len(torch.unique(rows, dim=0)) == len(rows)
    # no atoms: chance coincidences of single-precision numbers only, where ties were common
    for column in rows.T:
        assert column.unique().numel() > 0.99 * len(rows)


@pytest.mark.parametrize("name", DIMENSIONS)
def test_made_again_the_same(name: str, get: GetTask) -> None:
    first, second = get(name), get(name)
    for which in SPLITS:
        assert torch.equal(rows_of(first, which), rows_of(second, which))


# Held-out rows are part of every published score: if this test fails, raise the version of the task.
FIRST_HELDOUT: dict[str, list[float]] = {
    "abalone": [0.853368, 0.823246, 1.30591],
    "telemonitoring": [-0.673974, -0.958092, -0.583919],
    "parkinsons": [-0.340487, 0.014485, -0.82974],
    "mushroom": [1.559317, 2.500667, -0.616608],
    "red-wine": [-0.162808, -0.554376, 0.486016],
    "wine": [1.39687, 1.575302, 1.440095],
    "breast-cancer": [-0.691127, -1.057262, -0.654963],
    "diabetes": [-1.070973, -1.576707, 0.614178],
    "iris": [0.029223, -1.032374, 0.146995],
}


@pytest.mark.parametrize("name", DIMENSIONS)
def test_heldout_rows_are_pinned(name: str, get: GetTask) -> None:
    assert rows_of(get(name), "heldout")[0, :3].tolist() == pytest.approx(FIRST_HELDOUT[name], abs=1e-4)


def least_told(values: Tensor, columns: list[str], keep: int) -> list[str]:
    """The stated rule: drop the column with the largest absolute correlation with an earlier one, until few enough."""
    while len(columns) > keep:
        worst = int(torch.corrcoef(values.T).abs().triu(1).amax(0).argmax())
        columns = columns[:worst] + columns[worst + 1 :]
        values = torch.cat((values[:, :worst], values[:, worst + 1 :]), 1)
    return columns


@pytest.mark.parametrize(
    ("name", "file", "left_out", "kept"),
    [
        ("parkinsons", uci.PARKINSONS, {"name", "status"}, tables.PARKINSONS),
        ("red-wine", uci.RED_WINE, {"quality"}, tables.RED_WINE),
    ],
)
@pytest.mark.usefixtures("uci_data")
def test_columns_are_those_of_the_rule(name: str, file, left_out: set[str], kept: tuple[str, ...]) -> None:
    table = file.read().distinct()
    columns = [column for column in table.names if column not in left_out]
    values = table.numbers(columns)[split(name, len(table))[0]]
    assert least_told(values, columns, DIMENSIONS[name]) == list(kept)


@pytest.mark.usefixtures("uci_data")
def test_mushroom_attributes_are_those_of_largest_entropy() -> None:
    table = uci.MUSHROOM.read().distinct()
    train = split("mushroom", len(table))[0].tolist()
    entropy = {}
    for name in table.names[1:]:
        cells = table.column(name)
        shares = [count / len(train) for count in Counter(cells[index] for index in train).values()]
        entropy[name] = -sum(share * math.log(share) for share in shares)
    best = sorted(entropy, key=lambda name: -entropy[name])[:5]
    assert tuple(name for name in table.names if name in best) == tables.MUSHROOM


@pytest.mark.usefixtures("uci_data")
def test_mushroom_codes_are_frequency_ranks() -> None:
    """Undo the standardisation by what the rule says the codes are: the noise is what is left, within half a unit."""
    table = uci.MUSHROOM.read().distinct()
    train, _, heldout = split("mushroom", len(table))
    codes = torch.stack([tables._frequency_ranks(table.column(name), train.tolist()) for name in tables.MUSHROOM], 1)
    for column in codes[train].long().T:
        counts = torch.bincount(column).tolist()
        assert counts == sorted(counts, reverse=True)
    assert resolution(codes).tolist() == [1.0] * 5
    task = make("task", "mushroom")
    noised = dequantised("mushroom", codes)
    scale, shift = noised[train].std(0), noised[train].mean(0)
    left = task.heldout.double() * scale + shift - codes[heldout]
    assert left.abs().max() < 0.5 + 1e-5
    assert left.std() == pytest.approx(12**-0.5, rel=0.03)
    ties = tables._frequency_ranks(["b", "a", "c", "c", "d"], [0, 1, 2, 3])
    assert ties.tolist() == [2.0, 1.0, 0.0, 0.0, 3.0]


@pytest.mark.usefixtures("uci_data")
def test_columns_of_the_other_published_tables() -> None:
    assert uci.ABALONE.read().names[1:8] == (
        "length", "diameter", "height", "whole_weight", "shucked_weight", "viscera_weight", "shell_weight",
    )  # fmt: skip
    voice = uci.TELEMONITORING.read().names[6:]
    assert len(voice) == 16
    assert (voice[0], voice[-1]) == ("Jitter(%)", "PPE")


def test_a_split_is_a_partition() -> None:
    for n in (10, 39, 1000):
        parts = split("any", n)
        assert [len(part) for part in parts[:2]] == [round(0.7 * n), round(0.1 * n)]
        assert torch.cat(parts).sort().values.tolist() == list(range(n))
    assert not torch.equal(split("any", 1000)[0], split("other", 1000)[0])


def test_noise_is_as_wide_as_the_resolution() -> None:
    values = torch.tensor([[0.0, 3.0], [0.5, 1.0], [2.0, 1.0], [0.5, 3.0]], dtype=torch.float64).repeat(500, 1)
    assert resolution(values).tolist() == [0.5, 2.0]
    noise = (dequantised("any", values) - values) / torch.tensor([0.5, 2.0], dtype=torch.float64)
    assert noise.abs().max() <= 0.5
    # uniform on (−½, ½): mean 0 ± 0.0065, standard deviation 0.2887 ± 0.0029 per column; 4.5 of these
    assert noise.mean(0).abs().max() < 0.029
    assert (noise.std(0) - 12**-0.5).abs().max() < 0.013


@pytest.mark.parametrize(
    ("name", "shipped", "options"), [("iris", "iris", {}), ("diabetes", "diabetes", {"scaled": False})]
)
def test_bundled_rows_are_where_the_split_says(name: str, shipped: str, options: dict, get: GetTask) -> None:
    """Standardised rows are an affine image of the recorded ones up to the noise of the resolution."""
    table = bundled_table(shipped, **options).distinct()
    values = table.numbers(table.names[:-1])
    train, _, heldout = split(name, len(values))
    noised = dequantised(name, values)
    task = get(name)
    back = rows_of(task, "heldout").double() * noised[train].std(0) + noised[train].mean(0)
    assert ((back - values[heldout]).abs() < 0.5 * resolution(values) + 1e-4).all()


def test_rows_of_a_table_come_in_the_default_dtype() -> None:
    values = torch.arange(60.0, dtype=torch.float64).reshape(20, 3)
    torch.set_default_dtype(torch.float64)
    try:
        assert rows_of(table_task("toy", values), "train").dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", ["wine", "iris"])
def test_floors_of_every_metric(name: str, get: GetTask) -> None:
    """Training rows stand for exact draws, except to the metric that reads them, which has too few rows for a floor."""
    task = get(name)
    for text in task.metrics:
        facts = floor_facts(text, task, name, task.eval_size)
        if text == "memorisation":
            assert "enough rows" in facts["error"]
        else:
            assert facts["source"] == "train"
            assert facts["std"] >= 0.0
            assert len(facts["values"]) == 8
    assert len(reference_rows(task, name, task.eval_size, 0)) == task.eval_size


def test_a_far_law_scores_above_the_floor(get: GetTask) -> None:
    task = get("wine")
    assert task.train is not None
    reference = reference_rows(task, "wine", task.eval_size, 0)
    for text, shifted in itertools.product(("w1", "w2", "energy-distance"), (1.0,)):
        floor = floor_facts(text, task, "wine", task.eval_size)
        samples = task.train[: task.eval_size] + shifted
        value = make("metric", text)(
            Scored(samples=samples, reference=reference, target=task, generator=torch.Generator().manual_seed(0))
        )
        assert value > floor["mean"] + 3 * floor["std"]
