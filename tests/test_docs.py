"""The documentation is true: its Python blocks run, docstring examples hold, examples run, links lead somewhere."""

import doctest
import importlib
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from pullback.experiments import experiment_names

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
grammar, mathematics = map(importlib.import_module, ("grammar", "mathematics"))

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
    ours, theirs, _, *table = capsys.readouterr().out.splitlines()
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


@pytest.mark.parametrize("entry", list(grammar.entries()), ids=lambda entry: entry.name)
def test_grammar(entry):
    """What may not converge gives a `Solution` on request; how derivatives are made is said by an adjoint."""
    assert entry.throw or "ConvergenceError" not in entry.raises
    assert not entry.refused
    assert entry.raises


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not link.startswith("http") and "gallery/" not in link:
            assert (page.parent / link).exists(), f"{page}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_formulas_can_be_set(page):
    for display, formula in re.findall(r"\\([\[(])(.+?)\\[)\]]", _without_code(page.read_text()), flags=re.DOTALL):
        assert mathematics.mathml(formula, display=display == "[").startswith("<math")


def _without_code(text):
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("formula", [r"a \foo b", r"\operatorname{Tr} \nosuch"])
def test_formulas_that_cannot_are_told(formula):
    with pytest.raises(ValueError, match="unknown command"):
        mathematics.mathml(formula, display=False)


def test_every_experiment_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert re.findall(r"gallery/([a-z-]+)\.md", navigation) == ["index", *experiment_names(), "conformance", "grammar"]


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "site").exists(), reason="the site is not built: make docs")
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
@pytest.mark.parametrize("page", ["derivations/svd", "implicit", "gallery/fidelity-susceptibility"])
def test_a_browser_draws_built_pages(page, tmp_path):
    source = (ROOT / "site" / page / "index.html").read_text()
    measure = "<script>document.body.dataset.sizes = [...document.querySelectorAll('math, main img')].map("
    measure += "x => x.getBoundingClientRect().height)</script>"
    copy = ROOT / "site" / page / "measured.html"
    copy.write_text(source.replace("</body>", f"{measure}</body>"))
    browser = [shutil.which("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    try:
        out = subprocess.run([*browser, copy.as_uri()], capture_output=True, text=True, check=True, timeout=100).stdout
    finally:
        copy.unlink()
    sizes = [float(size) for size in re.search(r'data-sizes="([^"]*)"', out)[1].split(",")]
    assert sizes and min(sizes) > 3
    assert "\\(" not in source and "\\[" not in source
    assert not re.search(r'<(?:link|script|img)\b[^>]*\b(?:src|href)="(?:https?:)?//', source)
