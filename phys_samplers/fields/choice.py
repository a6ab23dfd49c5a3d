"""A recipe's network: a field with the width and depth that the recipe asks for."""

from __future__ import annotations

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.mlp import Field
from phys_samplers.parts import Part, make_part


def make_field(field: Part, *, width: int | None, depth: int | None) -> Field:
    """The field, by name or object.

    Args:
        field: name (with options or without), mapping or object.
        width: units of each hidden layer; None for the field's own. An option inside the name wins.
        depth: hidden layers, likewise.

    Raises:
        ConfigurationError: if a size is given beside an object, which has its own.
    """
    sizes = {name: value for name, value in (("width", width), ("depth", depth)) if value is not None}
    if sizes and isinstance(field, Field):
        raise ConfigurationError(
            f"{', '.join(f'{name} is {value}' for name, value in sizes.items())} and field is {field!r}; give sizes to "
            "the field, or the field by name"
        )
    made: Field = make_part("field", field, **sizes)
    return made
