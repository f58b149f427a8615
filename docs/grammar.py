"""The table of the grammar: every public function that iterates, loops or solves, read off its signature and docstring.

*problem function × solver object × adjoint object → value, or `Solution` with `throw=False`.*
"""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import pullback
from pullback import core

_OF_GRAMMAR = {"solver", "adjoint", "throw"}
_OLD = {"remat", "certificate", "adjoint_tol", "checkpoint_every"}  # said by an adjoint object or by a `Solution`


@dataclasses.dataclass(frozen=True)
class Entry:
    """One function: the classes that its arguments take, and what its docstring says of the result and of errors."""

    name: str
    solvers: tuple[str, ...]
    adjoints: tuple[str, ...]
    default: str
    returns: str
    raises: tuple[str, ...]
    throw: bool
    refused: frozenset[str]

    def row(self) -> str:
        def code(names: tuple[str, ...]) -> str:
            return ", ".join(f"`{name}`" for name in names)

        raises = code(self.raises)
        if "ConvergenceError" in self.raises:
            raises += "; under `jit` `EquinoxRuntimeError`"
        returns = "; ".join(part for part in (self.returns, "`Solution` on request" if self.throw else "") if part)
        adjoints = code(tuple(dict.fromkeys((*([self.default] if self.default else []), *self.adjoints))))
        cells = f"`{self.name}`", code(self.solvers), adjoints, returns, raises
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def entries() -> Iterator[Entry]:
    """The functions of all rooms but those of tools."""
    for room in sorted(module.name for module in pkgutil.iter_modules(pullback.__path__) if module.ispkg):
        if room in ("core", "cli", "plots", "runs", "experiments", "trust"):
            continue
        module = importlib.import_module(f"pullback.{room}")
        for name in module.__all__:
            function = getattr(module, name)
            if inspect.isfunction(function):
                parameters = inspect.signature(function).parameters
                sections = _sections(inspect.getdoc(function) or "")
                if _OF_GRAMMAR & parameters.keys():
                    yield _entry(f"{room}.{name}", module, parameters, sections)


def page() -> str:
    """The page *Grammar* of the site."""
    rows = "\n".join(entry.row() for entry in entries())
    return f"""---
hide: [toc]
---

# Grammar

Every function that iterates, loops or solves reads the same:

*problem function × solver object × adjoint object → value, or `Solution` with `throw=False`.*

- The problem is a plain function, an operator or a circuit; it may close over traced values, which are differentiated.
- `solver=` takes an object whose fields are the solver's options.
- `adjoint=` takes an object that says how the derivative is computed: `Direct`, `Checkpoint`, `TwoLevel`, `Uncompute`
  or `Implicit` (all in `pullback.core`). A function without it has one way only: the derivatives of functions of an
  operator are functions of the same kind, of a larger operator.
- What did not converge raises `ConvergenceError`. With `throw=False` a `Solution` comes back in any case: `value`,
  `result` (`RESULTS[solution.result]` is its text), `residual`, `steps`, `stats`; `solution.unwrap("name")` raises
  later.
- Inside `jit` the same errors are raised by the compiled program.

The table is read off the code.

| function | solvers | adjoints, the default first | returns | raises |
|---|---|---|---|---|
{rows}
"""


def _entry(name: str, module, parameters, sections: dict[str, dict[str, str] | str]) -> Entry:
    arguments, raises = sections.get("Args", {}), sections.get("Raises", {})
    assert isinstance(arguments, dict) and isinstance(raises, dict)
    default = parameters["adjoint"].default if "adjoint" in parameters else None
    return Entry(
        name,
        _classes(arguments.get("solver", ""), module),
        _classes(arguments.get("adjoint", ""), core),
        "" if default is None else type(default).__name__,
        re.split(r"[;:,.] or,? if not|[.:;] |\\.$|, or, if", str(sections.get("Returns", "")))[0].rstrip("."),
        tuple(raises),
        "throw" in parameters,
        frozenset(_OLD & parameters.keys()),
    )


def _classes(text: str, module) -> tuple[str, ...]:
    """The classes of a module that a text names in code font."""
    words = [word for code in re.findall(r"`([^`]+)`", text) for word in re.findall(r"[A-Z]\w+", code)]
    return tuple(dict.fromkeys(word for word in words if inspect.isclass(getattr(module, word, None))))


def _sections(docstring: str) -> dict[str, dict[str, str] | str]:
    """The sections of a docstring in Google's style; those with names, by name."""
    found: dict[str, dict[str, str] | str] = {}
    for title, body in re.findall(r"^(Args|Returns|Raises):\n((?:    .*\n|\n)+)", docstring + "\n", flags=re.MULTILINE):
        if title == "Returns":
            found[title] = " ".join(body.split())
        else:
            items = re.findall(r"^    \*{0,2}(\w+): ((?:.*\n)(?:     +.*\n|\n)*)", body, flags=re.MULTILINE)
            found[title] = {name: " ".join(text.split()) for name, text in items}
    return found
