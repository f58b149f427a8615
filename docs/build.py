"""Builds the site: runs the experiments for the gallery, writes the generated pages, then the static site.

python docs/build.py        (make docs)

Runs are kept in `.docs_cache`, keyed by the code of the package and the options, and used again as long as both stay.
"""

import functools
import hashlib
import html
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import grammar
from mathematics import with_mathml

from pullback.experiments import experiment_names, load_experiment, summary
from pullback.runs import Result, execute
from pullback.runs._option import options_of
from pullback.trust import MODES, TOLERANCE, check_conformance

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"
CACHE = ROOT / ".docs_cache"
SITE = ROOT / "site"
_FROM_OUTSIDE = re.compile(r'<(?:link|script|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')


def main() -> None:
    """Generates docs/gallery and builds site/; warnings are errors."""
    shutil.rmtree(GALLERY, ignore_errors=True)
    GALLERY.mkdir(parents=True)
    names = experiment_names()
    for name in names:
        (GALLERY / f"{name}.md").write_text(experiment_page(name))
    cards = "\n".join(
        f"- [![{name}]({name}.png)]({name}.md)\n\n    **[{name}]({name}.md)**: {summary(name)}\n" for name in names
    )
    (GALLERY / "index.md").write_text(
        f'# Gallery\n\nEach experiment is one command.\n\n<div class="grid cards" markdown>\n\n{cards}\n</div>\n'
    )
    (GALLERY / "conformance.md").write_text(conformance_page())
    (GALLERY / "grammar.md").write_text(grammar.page())
    zensical = Path(sys.executable).with_name("zensical")
    code = subprocess.run([zensical, "build", "--strict", "--clean"], cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)
    for page in SITE.rglob("*.html"):
        text = with_mathml(page.read_text())
        if found := _FROM_OUTSIDE.search(text):
            sys.exit(f"{page}: loads something from outside: {found[0]}")
        page.write_text(text)


def experiment_page(name: str) -> str:
    """The docstring, a run with default options (figure and summary), the options and the references."""
    experiment = load_experiment(name)
    folder = finished_run(name)
    shutil.copyfile(folder / "figure.png", GALLERY / f"{name}.png")
    table = "\n".join(f"| `{o.flag}` | {o.help} | {o.describe()} |" for o in options_of(experiment))
    return f"""# {name}

```
pullback run {name}
```

![figure of {name}]({name}.png)

```
{Result.load(folder / "result.h5")}
```

{as_markdown(inspect.getdoc(experiment) or "")}

| option | meaning | values |
|---|---|---|
{table}

Reference: {experiment.citation}
"""


def finished_run(name: str) -> Path:
    """The folder of a run with default options."""
    experiment = load_experiment(name)()
    options = {option.name: getattr(experiment, option.name) for option in options_of(type(experiment))}
    folder = CACHE / f"{name}-{_key(options)}"
    if not (folder / "figure.png").exists():
        _forget(name)
        print(f"{name} …", flush=True)
        execute(experiment, folder, quiet=True)
    return folder


def as_markdown(docstring: str) -> str:
    """A docstring as a page has it: paragraphs wrap, what is indented is set as it is."""
    lines = [line if line.startswith("    ") else html.escape(line, quote=False) for line in docstring.splitlines()]
    return "\n".join(lines)


def conformance_page() -> str:
    """The rows of `pullback check`, with what both sides give."""
    path = CACHE / f"conformance-{_key({})}.json"
    if not path.exists():
        _forget("conformance")
        print("conformance …", flush=True)
        rows = [
            [o.case.primitive, o.case.point, o.case.derivatives, o.ours, o.theirs]
            for o in check_conformance(processes=2)
        ]
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(rows))
    lines = "\n".join(
        f"| `{primitive}` | {point} | {_verdicts(ours)} | {_verdicts(theirs)} | {first:.15g} | {second:.15g} |"
        for primitive, point, (first, second, *_), ours, theirs in json.loads(path.read_text())
    )
    return f"""# Conformance table

`pullback check` computes every row in five modes ({", ".join(MODES)}), by pullback and by plain JAX, and compares with
these exact derivatives along a line (70-digit arithmetic; relative tolerances {TOLERANCE[1]:.0e} at first and
{TOLERANCE[2]:.0e} at second order). Where pullback's column is empty, JAX's function is used as it is.

| primitive | point | pullback | plain JAX | first derivative | second derivative |
|---|---|---|---|---|---|
{lines}
"""


def _verdicts(found: dict[str, str] | None) -> str:
    """One word if all modes agree, else each."""
    if not found:
        return ""
    words = set(found.values())
    return words.pop() if len(words) == 1 else ", ".join(f"{mode} {word}" for mode, word in found.items())


def _forget(name: str) -> None:
    for old in CACHE.glob(f"{name}-*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()


def _key(options: dict) -> str:
    return hashlib.sha256((_code() + repr(sorted(options.items()))).encode()).hexdigest()[:16]


@functools.cache
def _code() -> str:
    """A hash of the package's code and of the locked versions."""
    files = [*sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "src").rglob("*.cpp"))]
    total = hashlib.sha256((ROOT / "requirements" / "base.txt").read_bytes())
    for file in files:
        total.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return total.hexdigest()


if __name__ == "__main__":
    main()
