"""The documentation is true: its Python blocks run, docstring examples hold, examples run, links lead somewhere."""

import doctest
import importlib
import re
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [p for p in PAGES if "gallery" not in p.parts]
RUNNABLE = [page for page in sorted((ROOT / "docs").glob("*.md")) if "```python" in page.read_text()]
MODULES = [
    ".".join(p.relative_to(ROOT / "src").with_suffix("").parts)
    for p in sorted((ROOT / "src/pullback").rglob("_*.py"))
    if p.name not in ("__init__.py", "_version.py")
]


@pytest.mark.parametrize(
    "page",
    [page if page.stem == "index" else pytest.param(page, marks=pytest.mark.slow) for page in RUNNABLE],
    ids=lambda page: page.stem,
)
def test_python_blocks_run(page, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where runs and figures go
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert blocks
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    assert capsys.readouterr().out


def test_the_readme_says_what_it_prints(capsys):
    exec(re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)[1], {})
    ours, theirs, *table = capsys.readouterr().out.splitlines()
    assert float(ours) == pytest.approx(-1, abs=1e-12)
    assert theirs == "nan"
    assert all(line.endswith("ok") for line in table[1:])


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples(module):
    names = {"jax": jax, "jnp": jnp}
    results = doctest.testmod(importlib.import_module(module), extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert results.failed == 0


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_examples_run(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where figures go
    runpy.run_path(str(example), run_name="__main__")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not link.startswith("http") and "gallery/" not in link:
            assert (page.parent / link).exists(), f"{page}: {link}"
