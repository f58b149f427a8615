"""The house rules: who may import whom, how long a file may be, and what importing the package costs."""

import ast
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "pullback"
FLOORS = [
    {"core"},
    {"linalg", "operators", "krylov", "implicit", "loops", "flows", "external", "trust", "elementary", "special"},
    {
        "schrodinger", "lattices", "circuits", "tensor_networks", "molecules", "crystals", "mechanics", "particles",
        "control", "manybody", "fields", "response",
    },
    {"experiments", "runs", "plots", "cli"},
]  # fmt: skip
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(SRC.rglob("*.py"))


def room_of(path: Path) -> str | None:
    parts = path.relative_to(SRC).parts
    return parts[0] if len(parts) > 1 else None


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a file names in its imports, or as `pb.x` after `import pullback as pb`."""
    tree = ast.parse(path.read_text())
    rooms, aliases = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            parts = node.module.split(".")
            if parts[0] == "pullback":
                rooms |= {parts[1]} if len(parts) > 1 else {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level > 0:
            pytest.fail(f"{path}: relative import; write the room's full name")
        elif isinstance(node, ast.Import):
            for a in node.names:
                parts = a.name.split(".")
                if parts[0] == "pullback":
                    rooms |= set(parts[1:2])
                    aliases.add(a.asname or "pullback")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            rooms.add(node.attr)
    return rooms & set(FLOOR)


def violations(room: str, imports: set[str]) -> list[str]:
    floor, out = FLOOR[room], []
    for other in sorted(imports - {room}):
        if FLOOR[other] > floor:
            out.append(f"{room} (floor {floor}) imports {other} (floor {FLOOR[other]}): data flows down")
        elif FLOOR[other] == floor == 2:
            out.append(f"{room} imports its sibling {other}: what they share sinks to floor 1 or core")
    return out


def test_every_room_has_a_floor():
    rooms = {room_of(p) for p in FILES} - {None}
    assert rooms <= set(FLOOR), f"unknown rooms {rooms - set(FLOOR)}: give them a floor here and in the docs"
    assert {"core", "linalg", "trust"} <= rooms


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_go_down(path):
    room = room_of(path)
    if room is None:  # pullback/__init__.py, __main__.py, _version.py
        return
    assert not violations(room, imported_rooms(path))


def test_the_check_itself_catches_wrong_imports():
    assert violations("core", {"linalg"})
    assert violations("linalg", {"schrodinger"})
    assert violations("schrodinger", {"lattices"})
    assert violations("schrodinger", {"runs"})
    assert not violations("schrodinger", {"core", "linalg"})
    assert not violations("experiments", {"schrodinger", "runs", "plots"})


def test_experiments_do_not_import_each_other():
    names = {p.stem for p in (SRC / "experiments").glob("[a-z]*.py")}
    for path in (SRC / "experiments").glob("[a-z]*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pullback.experiments"):
                assert not names & set(node.module.split(".")), path


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_files_are_short_and_say_what_they_are(path):
    text = path.read_text()
    assert text.count("\n") <= 800
    if path.name != "_version.py":
        assert ast.get_docstring(ast.parse(text)), f"{path} has no module docstring"


@pytest.mark.parametrize("path", sorted(SRC.glob("*/__init__.py")), ids=lambda p: p.parent.name)
def test_rooms_list_their_public_names(path):
    names = [
        t.id
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
        for t in node.targets
        if isinstance(t, ast.Name)
    ]
    assert "__all__" in names


@pytest.mark.parametrize("room", sorted({room_of(p) for p in FILES} - {None}))
def test_no_circles(room):
    """Nothing imports what stands above it in its room, within functions neither."""
    names = {
        ".".join(("pullback", *p.relative_to(SRC).with_suffix("").parts)).removesuffix(".__init__"): p
        for p in FILES
        if room_of(p) == room
    }
    needs = {}
    for name, path in names.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                whole = {f"{node.module}.{a.name}" for a in node.names}
                found |= whole & names.keys() or {node.module}
        found |= {other.rpartition(".")[0] for other in found}  # the door of a folder, but for what is in it
        needs[name] = {other for other in found & names.keys() if not name.startswith(other)}
    graphlib.TopologicalSorter(needs).prepare()


def test_no_private_jax():
    for path in FILES:
        assert "jax._src" not in path.read_text(), path
        if path.name != "_compat.py":
            assert "jax.extend" not in path.read_text() and "jax.interpreters" not in path.read_text(), path


@pytest.mark.parametrize("code", ["import pullback", "import pullback.cli"])
def test_importing_the_package_is_cheap(code):
    script = f"""
import sys, time
t = time.process_time()
{code}
heavy = {{"jax", "numpy", "scipy", "matplotlib"}} & set(sys.modules)
print(time.process_time() - t, *heavy)
"""
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)
    seconds, *heavy = out.stdout.split()
    assert not heavy
    assert float(seconds) <= 0.5
