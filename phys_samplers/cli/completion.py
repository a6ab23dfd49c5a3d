"""``completion``: the script that teaches a shell to complete."""

from __future__ import annotations

import click

from phys_samplers.layout import examples

_PLACES = {
    "bash": "~/.local/share/bash-completion/completions/phys-samplers",
    "zsh": "~/.zfunc/_phys-samplers",
    "fish": "~/.config/fish/completions/phys-samplers.fish",
}
_REMARKS = {"zsh": "\n# with `fpath+=~/.zfunc` before `autoload -Uz compinit && compinit` in ~/.zshrc."}


@click.command(
    epilog=examples(
        ('eval "$(phys-samplers completion bash)"', "for this shell only"),
        *((f"phys-samplers completion {shell} > {place}", "for good") for shell, place in _PLACES.items()),
    ),
)
@click.argument("shell", type=click.Choice(list(_PLACES)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell: commands, options and component names complete then."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"this version of click cannot complete in {shell}")
    script = made(ctx.find_root().command, {}, "phys-samplers", "_PHYS_SAMPLERS_COMPLETE").source()
    click.echo(script.rstrip())
    remark = _REMARKS.get(shell, "")
    click.echo(f"\n# To install: phys-samplers completion {shell} > {_PLACES[shell]}{remark}")
