"""Builds the site: runs the experiments for the gallery, writes the generated pages, then the static site.

python docs/build.py        (make docs)
"""

import inspect
import shutil
import subprocess
import sys
from pathlib import Path

from pullback.experiments import experiment_names, load_experiment, summary
from pullback.runs import Result, execute
from pullback.runs._option import options_of
from pullback.trust import TOLERANCE, cases

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"


def main() -> None:
    """Generates docs/gallery and builds site/; warnings are errors."""
    shutil.rmtree(GALLERY, ignore_errors=True)
    GALLERY.mkdir(parents=True)
    names = experiment_names()
    for name in names:
        (GALLERY / f"{name}.md").write_text(experiment_page(name))
    rows = "\n".join(f"- [{name}]({name}.md): {summary(name)}" for name in names)
    (GALLERY / "index.md").write_text(f"# Gallery\n\nEach experiment is one command.\n\n{rows}\n")
    (GALLERY / "conformance.md").write_text(conformance_page())
    zensical = Path(sys.executable).with_name("zensical")
    sys.exit(subprocess.run([zensical, "build", "--strict", "--clean"], cwd=ROOT, check=False).returncode)


def experiment_page(name: str) -> str:
    """The docstring, a run with default options (figure and summary), the options and the references."""
    experiment = load_experiment(name)
    folder = GALLERY / "runs" / name
    print(f"{name} …", flush=True)
    result: Result = execute(experiment(), folder, quiet=True)
    shutil.copyfile(folder / "figure.png", GALLERY / f"{name}.png")
    shutil.rmtree(folder)
    table = "\n".join(f"| `{o.flag}` | {o.help} | {o.describe()} |" for o in options_of(experiment))
    return f"""# {name}

```
pullback run {name}
```

![figure of {name}]({name}.png)

```
{result}
```

```text
{inspect.getdoc(experiment)}
```

| option | meaning | values |
|---|---|---|
{table}

Reference: {experiment.citation}
"""


def conformance_page() -> str:
    """The rows that `pullback check` runs."""
    rows = "\n".join(
        f"| `{c.primitive}` | {c.point} | {'pullback' if c.ours else 'JAX'} | {c.derivatives[0]:.15g} "
        f"| {c.derivatives[1]:.15g} |"
        for c in cases()
    )
    return f"""# Conformance table

`pullback check` computes every row in five modes (jvp, vjp, forward over reverse, reverse over reverse, forward over
forward), by pullback and by plain JAX, and compares with these exact derivatives along a line (70-digit arithmetic;
relative tolerances {TOLERANCE[1]:.0e} at first and {TOLERANCE[2]:.0e} at second order).

| primitive | point | whose function | first derivative | second derivative |
|---|---|---|---|---|
{rows}
"""


if __name__ == "__main__":
    main()
