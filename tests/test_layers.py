"""The layers of the package import downwards only, and importing it costs nothing."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "cryopick"
ROWS = [
    {
        "errors",
        "checks",
        "columns",
        "types",
        "coordinates",
        "registry",
        "config",
        "randomness",
        "files",
        "provenance",
        "robust",
        "messages",
    },
    {"parallel", "io", "models"},
    {"preprocess", "evaluate"},
    {"detection", "display"},
    {"pickers", "simulate"},
    {"runs", "train", "resolution"},
    {"report", "review", "benchmark"},
    {"api"},
    {"cli"},
]
TRAIN_ROWS = [
    {"calibration", "launch", "log", "loop", "losses", "recipe"},
    {"data"},
    {"tasks"},
    {"recipes", "finetune"},
    {"ablation"},
]
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}
TRAIN_RANK = {name: rank for rank, row in enumerate(TRAIN_ROWS) for name in row}
MODELS_MAY_IMPORT = {"models", "errors", "messages", "registry", "config"}
HEAVY = {
    "torch",
    "scipy",
    "cv2",
    "numpy",
    "matplotlib",
    "gemmi",
    "mrcfile",
    "tifffile",
    "imagecodecs",
    "transformers",
    "lightning",
    "yaml",
}


def imports() -> list[tuple[Path, str]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                module = node.module or ""
                names = [f"{module}.{alias.name}" for alias in node.names] if module == "cryopick" else [module]
            else:
                continue
            found += [(path, name) for name in names if name.startswith("cryopick.")]
    return found


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_module_imports_only_from_its_own_row_or_a_lower_one():
    found = [(path, name.split(".")[1]) for path, name in imports() if layer(path) not in {"__init__", "__main__"}]
    assert len(found) > 10
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {target}"
        for path, target in found
        if target in RANK and RANK[target] > RANK[layer(path)]
    ]
    assert wrong == []


def test_training_imports_only_from_its_own_row_or_a_lower_one():
    found = [
        (path, path.relative_to(PACKAGE).parts[1].removesuffix(".py"), name.split(".")[2])
        for path, name in imports()
        if layer(path) == "train" and path.name != "__init__.py" and name.startswith("cryopick.train.")
    ]
    assert len(found) > 10
    assert {part for _, *both in found for part in both} <= set(TRAIN_RANK)
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {target}" for path, own, target in found if TRAIN_RANK[target] > TRAIN_RANK[own]
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {module_name(path): set() for path in PACKAGE.rglob("*.py")}
    for path in PACKAGE.rglob("*.py"):
        for name in imported_at_once(ast.parse(path.read_text()).body):
            target = name if name in graph else name.rpartition(".")[0]
            if target in graph and target != module_name(path):
                graph[module_name(path)].add(target)
    assert sum(map(len, graph.values())) > 100
    assert tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def module_name(path: Path) -> str:
    return ".".join(("cryopick", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def imported_at_once(body: list[ast.stmt]) -> list[str]:
    """Names that are imported with the module: not inside functions, nor for type checkers alone."""
    found = []
    for node in body:
        if isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Try):
            found += imported_at_once(node.body)
    return found


def test_every_folder_of_the_package_has_a_row():
    names = {
        path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert names - {"__init__", "__main__"} <= set(RANK)


def test_models_know_no_files_and_no_micrographs():
    found = [(path, name) for path, name in imports() if layer(path) == "models"]
    assert [f"{path.name}: {name}" for path, name in found if name.split(".")[1] not in MODELS_MAY_IMPORT] == []


def test_help_imports_nothing_heavy():
    code = "import sys, cryopick, cryopick.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "typer" in loaded
    assert HEAVY & set(loaded) == set()


def test_every_folder_of_modules_says_what_it_is():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert len(folders) > 20
    said = {folder: ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) for folder in folders}
    assert [str(folder.relative_to(PACKAGE)) for folder, text in said.items() if not text] == []
