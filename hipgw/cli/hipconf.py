"""`hipgw hipconf ...`: HIPL's configuration tool under hipgw's own name."""

from __future__ import annotations

import click

from hipgw.compat import hipconf as compatible


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def hipconf(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Configure in the words of HIPL, as hipconf does by itself."""
    ctx.exit(compatible.run(list(words), program="hipgw hipconf"))
