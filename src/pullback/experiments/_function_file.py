"""A function in a Python file of the user, named as `file.py:function`."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pullback.core import InputError
from pullback.runs import split_member


def read_function(path: Path, default: str = "f") -> Callable[..., Any]:
    """The function that `file.py:name` names, by default that of the name `default`.

    Raises:
        InputError: the file is missing or cannot be run, or holds no such function.
    """
    file, name = split_member(path)
    name = name or default
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    try:
        found = runpy.run_path(str(file)).get(name)
    except Exception as error:
        raise InputError(f"{file}: cannot be run: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise InputError(f"{file}: has no function {name!r}; name it as {file.name}:function")
    return found
