from __future__ import annotations

import pickle

import pytest

from phys_registry import ComponentSpec, PhysError, SpecError, parse_spec


def texts(text: str) -> list[str]:
    return [str(spec) for spec in parse_spec(text)]


def test_a_bare_name() -> None:
    assert parse_spec("bellman") == [ComponentSpec("bellman")]
    assert parse_spec(" dpm++_2m[] ") == [ComponentSpec("dpm++_2m")]


def test_values_expand_to_the_product_in_the_order_written() -> None:
    assert texts("bellman[schedule=gaussian,slice,epsilon=0.1,0.2]") == [
        "bellman[epsilon=0.1,schedule=gaussian]",
        "bellman[epsilon=0.2,schedule=gaussian]",
        "bellman[epsilon=0.1,schedule=slice]",
        "bellman[epsilon=0.2,schedule=slice]",
    ]


def test_equal_combinations_come_once() -> None:
    assert texts("x[a=1,1,2]") == ["x[a=1]", "x[a=2]"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-2", -2),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e-3", 1e-3),
        ("true", True),
        ("false", False),
        ("null", None),
        ("True", True),
        ("None", None),
        ("gaussian", "gaussian"),
        ("CartPole-v1", "CartPole-v1"),
        ("007", "007"),
        ('"1"', "1"),
        ("'a, b]='", "a, b]="),
        (r'"say \"hi\""', 'say "hi"'),
        (r"'it\'s'", "it's"),
        ('""', ""),
        ("[64, 64]", (64, 64)),
        ("[]", ()),
        ("[[1],[a]]", ((1,), ("a",))),
        ("two words", "two words"),
        ("a/b.json", "a/b.json"),
    ],
)
def test_values(text: str, value: object) -> None:
    (spec,) = parse_spec(f"x[a={text}]")
    assert spec.options["a"] == value
    assert type(spec.options["a"]) is type(value)
    assert parse_spec(str(spec)) == [spec]


def test_presets() -> None:
    assert parse_spec("bellman[preset=paper,epsilon=0.2]") == [ComponentSpec("bellman", "paper", {"epsilon": 0.2})]
    assert texts("bellman[epsilon=1,preset=paper,quick]") == [
        "bellman[preset=paper,epsilon=1]",
        "bellman[preset=quick,epsilon=1]",
    ]


def test_canonical_text_is_sorted_and_reads_back() -> None:
    spec = ComponentSpec("x", "1", {"b": "true", "a": (1, "é,"), "c": 1e300, "d": None, "e": " pad "})
    assert str(spec) == 'x[preset="1",a=[1,"é,"],b="true",c=1e+300,d=null,e=" pad "]'
    assert parse_spec(str(spec)) == [spec]
    assert str(parse_spec("x[b=1,a=2]")[0]) == str(parse_spec("x[ a = 2 , b = 1 ]")[0]) == "x[a=2,b=1]"


def test_a_spec_is_hashable_and_pickles() -> None:
    (spec,) = parse_spec("x[a=[1,2]]")
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert len({spec, *parse_spec("x[a=[1,2]]")}) == 1


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 0, "expected a name"),
        ("[a=1]", 0, "expected a name"),
        ("Bellman", 0, "expected a name"),
        ("bellman(a=1)", 7, "expected '[' or the end"),
        ("bellman[a=1", 7, "not closed"),
        ("bellman[a=1]]", 12, "expected the end"),
        ("bellman[gaussian]", 8, "expected key=value"),
        ("bellman[a=]", 10, "expected a value"),
        ("bellman[a=1,,2]", 12, "expected a value"),
        ("bellman[a=1,]", 12, "expected a value"),
        ("bellman[a=1,a=2]", 12, "given twice"),
        ("bellman[a='x]", 10, "not closed"),
        ("bellman[a=[1,2]", 7, "not closed"),
        ("bellman[a=[1 ='2']]", 10, "not closed"),
        ("bellman[preset=3]", 15, "a preset is a name"),
        (r'bellman[a="\q"]', 10, "not a JSON string"),
        ("bellman[a='x' y]", 14, "expected ',' or ']'"),
    ],
)
def test_bad_text_is_pointed_at(text: str, column: int, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    first, shown, caret = str(caught.value).split("\n")
    assert message in first
    assert shown == f"  {text}"
    assert caret.index("^") == column + 2
    assert isinstance(caught.value, PhysError)


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("edm[integrator=edm-heun[churn=0.2]]", "edm-heun[churn=0.2]"),
        ("edm[integrator=edm-heun[churn_min=0.1, churn=0.20]]", "edm-heun[churn=0.2,churn_min=0.1]"),
        ("edm[integrator='edm-heun[churn=0.2]']", "edm-heun[churn=0.2]"),
        ("a[b=c[preset=x,d=e[f=1]]]", "c[preset=x,d=e[f=1]]"),
    ],
)
def test_a_value_may_be_another_component(text: str, inner: str) -> None:
    (spec,) = parse_spec(text)
    assert list(spec.options.values()) == [inner]
    assert parse_spec(str(spec)) == [spec]
    assert '"' not in str(spec)


def test_inner_components_are_values_of_a_sweep() -> None:
    specs = parse_spec("edm[integrator=ddim,ddim[eta=1],sampling_steps=10,20]")
    assert [s.options["integrator"] for s in specs] == ["ddim", "ddim", "ddim[eta=1]", "ddim[eta=1]"]


@pytest.mark.parametrize("text", ["edm[integrator=ddim[eta=0,1]]", "edm[integrator=ddim[eta=1]", "edm[a=b[1]]"])
def test_a_bad_inner_component_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse_spec(text)
