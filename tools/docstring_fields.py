"""Griffe extension for the API pages: reads the one-line fields of our docstrings as descriptions, types from annotations."""

import re
from typing import Any

from griffe import Extension, Object

FIELD = re.compile(r"^(\w+(?:, \w+)*) : (\S.*)$", re.MULTILINE)


class OneLineFields(Extension):
    """Rewrites ``name : description``, which NumPy's style takes for a type, as a name and an indented description."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = FIELD.sub(r"\1\n    \2", obj.docstring.value)
