"""Finding experiments by parsing files, loading them by name or by path."""

import ast
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pullback.runs import Experiment

_FOLDER = Path(__file__).resolve().parent


def experiment_names() -> list[str]:
    """The names of the built-in experiments, in alphabetical order."""
    return sorted(file.stem.replace("_", "-") for file in _FOLDER.glob("[!_]*.py"))


def summary(name: str) -> str:
    """The first line of the docstring of a built-in experiment, read without importing it."""
    file = _builtin_file(name)
    classes = _experiment_classes(file)
    docstring = ast.get_docstring(classes[0]) if classes else None
    return docstring.splitlines()[0] if docstring else ""


def is_builtin(file: Path) -> bool:
    """Whether `file` is one of pullback's own experiments."""
    return file.parent == _FOLDER


def load_experiment(name: str) -> "type[Experiment]":
    """The experiment class called `name`, or defined in the file `name` (anything that ends in `.py`).

    Raises:
        InputError: there is no such experiment or file, or the file does not define exactly one.
    """
    if name.endswith(".py"):
        return load_file(Path(name))
    from pullback.core import InputError, nearest  # loads JAX, which finding experiments must not

    if name not in experiment_names():
        raise InputError(f"no experiment {name!r}.{nearest(name, experiment_names())}")
    module = importlib.import_module(f"pullback.experiments.{_builtin_file(name).stem}")
    return getattr(module, _only_class(_builtin_file(name), None))


def load_file(file: Path, class_name: str | None = None, *, imports: Path | None = None) -> "type[Experiment]":
    """The experiment class defined in a user's own file.

    Args:
        file: the Python file.
        class_name: which class; may be left out where the file defines one experiment.
        imports: a folder whose modules the file imports, its own by default.

    Raises:
        InputError: the file is missing, is not Python, or does not define the experiment.
    """
    from pullback.core import InputError  # loads JAX, which finding experiments must not

    if not file.is_file():
        raise InputError(f"{file}: no such experiment file")
    file = file.resolve()
    name = _only_class(file, class_name)
    folder = str(imports or file.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(f"_experiment_file_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise InputError(f"{file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return getattr(module, name)


def _builtin_file(name: str) -> Path:
    return _FOLDER / f"{name.replace('-', '_')}.py"


def _only_class(file: Path, wanted: str | None) -> str:
    from pullback.core import InputError

    try:
        names = [node.name for node in _experiment_classes(file)]
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{file}: not a Python file: {error}") from error
    names = [name for name in names if wanted in (None, name)]
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise InputError(
            f"{file}: must define one subclass of Experiment{f' {wanted}' if wanted else ''}, found {found}"
        )
    return names[0]


def _experiment_classes(file: Path) -> list[ast.ClassDef]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [node for node in tree.body if isinstance(node, ast.ClassDef) and any(map(_is_experiment, node.bases))]


def _is_experiment(base: ast.expr) -> bool:
    return (isinstance(base, ast.Name) and base.id == "Experiment") or (
        isinstance(base, ast.Attribute) and base.attr == "Experiment"
    )
