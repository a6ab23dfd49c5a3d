"""Parts swap by name, by mapping and by object, and have one JSON form."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from phys_bellman.kernels import GaussianKernel, SlicedGaussianKernel
from phys_registry import BadOption, RenamedWarning, UnknownComponent
from phys_samplers import catalogue
from phys_samplers.denoisers.denoiser import DenoisingLoss
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import MLP, FourierMLP
from phys_samplers.integrators import Heun
from phys_samplers.options import make_part, part_options
from phys_samplers.schedules import LinearSchedule


def test_by_name_mapping_and_object() -> None:
    expected = SlicedGaussianKernel(epsilon=0.5, slices=3)
    assert make_part("kernel", "sliced", epsilon=0.5, slices=3) == expected
    assert make_part("kernel", {"name": "sliced", "epsilon": 0.5, "slices": 3}) == expected
    assert make_part("kernel", expected) is expected
    assert make_part("kernel", "gaussian") == GaussianKernel()


def test_options_of_a_mapping_win_over_defaults() -> None:
    assert make_part("field", {"name": "mlp", "width": 9}, width=5, depth=2) == MLP(width=9, depth=2)


def test_an_object_is_taken_as_it_is() -> None:
    field = MLP(width=3)
    assert make_part("field", field, width=99) is field


def test_a_mapping_is_not_changed() -> None:
    mapping = {"name": "gaussian", "epsilon": 1.0}
    make_part("kernel", mapping)
    assert mapping == {"name": "gaussian", "epsilon": 1.0}


def test_errors_name_the_choices() -> None:
    with pytest.raises(UnknownComponent, match="gaussian"):
        make_part("kernel", "gausian")
    with pytest.raises(
        ConfigurationError, match=r"kernel is \{'epsilon': 1\.0\}; expected a mapping with the key 'name'"
    ):
        make_part("kernel", {"epsilon": 1.0})
    with pytest.raises(BadOption, match="slices"):
        make_part("kernel", "gaussian", slices=3)
    for wrong in (3, None, GaussianKernel):
        with pytest.raises(
            ConfigurationError, match=r"expected a name \(.*gaussian.*\), a mapping with a name, an object"
        ):
            make_part("kernel", wrong)


@pytest.mark.parametrize(
    ("kind", "wrong", "base"),
    [
        ("schedule", MLP(), "NoiseSchedule"),
        ("integrator", LinearSchedule(), "Integrator"),
        ("kernel", Heun(), "Kernel"),
        ("field", GaussianKernel(), "Field"),
        ("loss", catalogue.make("sampler", "exact"), "Loss"),
        ("sampler", DenoisingLoss(), "Sampler"),
    ],
)
def test_an_object_of_another_kind_is_refused(kind: str, wrong: object, base: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{kind} is {type(wrong).__name__}\(.*an object of class {base}"):
        make_part(kind, wrong)


def test_an_object_need_not_be_registered_if_it_derives_from_the_class_of_its_kind() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Own(GaussianKernel):
        pass

    own = Own(epsilon=2.0)
    assert make_part("kernel", own) is own


def test_a_registered_class_counts_whatever_it_derives_from() -> None:
    @dataclass(frozen=True)
    class Stranger:
        pass

    with pytest.raises(ConfigurationError, match="an object of class Kernel"):
        make_part("kernel", Stranger())
    catalogue.register("kernel", "stranger-in-test", summary="no Kernel")(Stranger)
    try:
        assert make_part("kernel", Stranger()) == Stranger()
    finally:
        catalogue.registry.unregister("kernel", "stranger-in-test")


def test_kinds_of_which_nothing_is_known_take_any_object() -> None:
    catalogue.register("kind", "spring", summary="what bounces")(object)
    try:
        part = GaussianKernel()
        assert make_part("spring", part) is part
    finally:
        catalogue.registry.unregister("kind", "spring")
    with pytest.raises(UnknownComponent, match="'no-such-kind'"):
        make_part("no-such-kind", part)


def test_every_registered_part_is_of_its_kind() -> None:
    for kind in ("field", "integrator", "kernel", "loss", "sampler", "schedule"):
        # those of the distribution: another test of the same process may have registered its own
        built_in = (c for c in catalogue.components() if isinstance(c.target, str) and c.target.startswith("phys_"))
        for name in (component.name for component in built_in if component.kind == kind):
            part = catalogue.make(kind, name)
            assert make_part(kind, part) is part
            assert isinstance(part, catalogue.registry.base(kind)), name


def test_the_json_form_makes_an_equal_part() -> None:
    for kind, part in (
        ("kernel", SlicedGaussianKernel(epsilon=0.5, slices=3)),
        ("kernel", GaussianKernel()),
        ("field", FourierMLP(frequencies=3, bandwidth=2.0)),
        *(("kernel", catalogue.make("kernel", name)) for name in catalogue.names("kernel")),
        *(("field", catalogue.make("field", name)) for name in catalogue.names("field")),
    ):
        form = json.loads(json.dumps(part_options(part)))
        assert make_part(kind, form) == part


def test_parts_inside_parts_have_a_json_form_too() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Outer:
        kernel: object
        name_of: str = "x"

    catalogue.register("loss", "outer-in-test", summary="a loss with a kernel")(Outer)
    try:
        form = part_options(Outer(kernel=GaussianKernel(epsilon=2.0)))
    finally:
        catalogue.registry.unregister("loss", "outer-in-test")
    assert form["name"] == "outer-in-test"
    assert form["kernel"]["name"] == "gaussian"
    assert form["kernel"]["epsilon"] == 2.0


@pytest.mark.parametrize("value", ["gaussian", 3, None, (1, 2), {"name": "gaussian"}, GaussianKernel])
def test_what_is_no_part_object_stays(value: object) -> None:
    assert part_options(value) is value


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("bellman[parametrisation=networks]", "sampler 'bellman-fields'"),
        ("bellman[box=0.5]", "sampler 'bellman-fields'"),
    ],
)
def test_a_text_of_former_times_names_what_took_its_place(text: str, named: str) -> None:
    with pytest.raises(BadOption, match=named):
        make_part("sampler", text)


def test_a_text_with_a_renamed_option_is_taken_and_names_the_present_one() -> None:
    with pytest.warns(RenamedWarning, match="'schedule' of sampler 'vgs' is now called 'spacing'"):
        former = make_part("sampler", "vgs[schedule=linear]")
    assert former == make_part("sampler", "vgs[spacing=linear]")
    assert former != make_part("sampler", "vgs")
