"""Arguments that several commands take."""

from typing import Annotated

import typer

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Micrographs, folders, patterns, lists, a RELION micrographs.star, or a CryoSPARC exposures .cs.",
        show_default=False,
    ),
]
