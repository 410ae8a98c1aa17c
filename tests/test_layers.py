"""The layers of the package import downwards only, and importing it costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "cryopick"
ROWS = [
    {"errors", "types", "coordinates", "registry", "config", "randomness"},
    {"io", "preprocess", "simulate", "evaluate", "models"},
    {"pickers"},
    {"train"},
    {"distributed"},
    {"review", "report", "benchmark", "cli"},
]
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}
MODELS_MAY_IMPORT = {"models", "errors", "registry", "config"}
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
