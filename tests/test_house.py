"""The rules of the house: what is published, which way imports point, what has to agree with what."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The registry's scanner flags a version for any of these, wherever in the archive they stand (docs and JSON
# too).
FORBIDDEN = {
    "network": r"\brequests\.\w|\bimport requests\b|\burllib\b|\baiohttp\b|\.connect\(|\.bind\(|\.send\(",
    "url": r"://raw\.githubusercontent\.com",
    "environment": r"os\.environ\.get\(|os\.getenv\(",
    "commands": r"\bsubprocess\b|\bos\.system\b|\bos\.popen\b",
    "code from text": r"(?<![\w.])(?:eval|exec)\(",
    "torchvision": r"^\s*(?:import|from) torchvision\b",
}
# Load with nothing but the standard library and what is light and in every ComfyUI: pydantic checks data that
# users write, filelock locks logs.
PURE = ("judgement", "parsing", "prompting", "prompt_revision", "records", "loop", "files", "errors")
PURE += ("critics.disk_cache", "checkpoints.fingerprint")
LIGHT = ("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection", "filelock")
HEAVY = ("transformers", "accelerate", "safetensors", "huggingface_hub", "torchvision", "scipy")

# The lower, the deeper: a folder or module of rr_models may import from its own layer's row only itself, and
# anything from the rows below.
LAYERS = (
    ("errors",),
    ("devices", "files"),
    ("judgement", "engine"),
    ("images", "prompting", "parsing", "checkpoints", "prompt_revision", "shapes"),
    ("critics",),
    ("loop",),
    ("records", "scorecard"),
    ("rank_folder",),
    ("cli",),
    ("__main__", "__init__"),
)


def tracked() -> list[str]:
    """Every file that belongs to the repository, those not committed yet included, as posix paths."""
    command = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout, so there is no telling what would be published")
    return sorted(name for name in set(listing.split("\0")) if name and (ROOT / name).is_file())


def ignored(name: str) -> bool:
    """Whether .comfyignore leaves a file out. Only the plain forms that the file uses are understood."""
    for line in (ROOT / ".comfyignore").read_text("utf-8").splitlines():
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        if rule.startswith("/"):  # anchored: web/docs/ stays when /docs/ goes
            if name.startswith(rule[1:]):
                return True
            continue
        if rule.endswith("/") and (name.startswith(rule) or f"/{rule}" in name):
            return True
        if PurePosixPath(name).match(rule):
            return True
    return False


def shipped() -> list[str]:
    return [name for name in tracked() if not ignored(name)]


def text(name: str) -> str | None:
    """The content of a text file; None for images and weights."""
    data = (ROOT / name).read_bytes()
    return None if b"\0" in data else data.decode("utf-8")


def imports(name: str) -> list[tuple[str, int, bool]]:
    """(absolute dotted name, line, run when the module is imported) for everything that a module imports."""
    tree = ast.parse((ROOT / name).read_text("utf-8"), name)
    inside = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        or (isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING")
        for node in ast.walk(outer)
    }
    package = list(PurePosixPath(name).parent.parts)
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{stem}.{alias.name}".lstrip(".") for alias in node.names]
        found += [(dotted, node.lineno, id(node) not in inside) for dotted in names]
    return found


def python_files(*folders: str) -> list[str]:
    return [name for name in tracked() if name.endswith(".py") and name.startswith(folders)]


@pytest.mark.parametrize("rule", FORBIDDEN)
def test_nothing_shipped_alarms_the_registry_scanner(rule: str):
    pattern = re.compile(FORBIDDEN[rule], re.MULTILINE)
    alarms = [
        f"{name}: {found.group().strip()}"
        for name in shipped()
        if (content := text(name)) and (found := pattern.search(content))
    ]
    assert not alarms, "\n".join(alarms)


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("network", "answer = requests.post(url)"),
        ("network", "socket.connect(place)"),
        ("url", "https://raw.githubusercontent.com/a/b"),
        ("environment", 'os.environ.get("HOME")'),
        ("commands", "import subprocess"),
        ("code from text", "value = eval(words)"),
        ("torchvision", "import torch\n    from torchvision import io"),
    ],
)
def test_the_scanner_rules_would_notice(rule: str, line: str):
    assert re.search(FORBIDDEN[rule], line, re.MULTILINE)


def test_model_eval_is_no_alarm():
    assert not re.search(FORBIDDEN["code from text"], "model.eval()")


def test_the_archive_holds_what_runs_and_nothing_else():
    names = shipped()
    tops = {name.split("/")[0] for name in names}
    allowed = {
        "__init__.py",
        "nodes",
        "rr_models",
        "workflows",
        "web",
        "locales",
        "subgraphs",
        "pyproject.toml",
    }
    allowed |= {"requirements.txt", "README.md", "README.zh.md", "LICENSE", "CHANGELOG.md"}
    assert tops <= allowed, f"neither needed at run time nor in .comfyignore: {sorted(tops - allowed)}"
    assert {"__init__.py", "pyproject.toml", "requirements.txt", "LICENSE"} <= tops
    size = sum((ROOT / name).stat().st_size for name in names)
    assert size < 20e6, f"the archive would unpack to {size / 1e6:.0f} MB"


def test_no_secrets_or_caches_are_tracked():
    odd = re.compile(r"(^|/)(\.env|\.venv|\.cache|__pycache__|node_modules)(/|$)|\.(pyc|pem|key)$")
    assert not [name for name in tracked() if odd.search(name)]


def test_no_conflict_of_a_merge_is_left():
    left = [
        name
        for name in tracked()
        if (content := text(name)) and re.search(r"^(?:<{7}|>{7}) \S", content, re.MULTILINE)
    ]
    assert not left


def test_the_library_knows_nothing_of_comfyui():
    foreign = {
        "comfy",
        "comfy_api",
        "comfy_execution",
        "comfy_extras",
        "folder_paths",
        "execution",
        "server",
        "nodes",
    }
    found = [
        f"{name}:{line} {dotted}"
        for name in python_files("rr_models/")
        for dotted, line, _ in imports(name)
        if dotted.split(".")[0] in foreign
    ]
    assert not found, "\n".join(found)


def test_imports_in_the_library_point_downwards():
    """Every file and folder of rr_models has a layer; what is imported from another stands in a lower one."""
    layers = {name: number for number, row in enumerate(LAYERS) for name in row}
    wrong = []
    for name in python_files("rr_models/"):
        own = PurePosixPath(name).with_suffix("").parts[1]
        assert own in layers, f"{name}: {own} has no layer; give it one in LAYERS"
        for dotted, line, _ in imports(name):
            package, _, rest = dotted.partition(".")
            other = rest.partition(".")[0]
            if package != "rr_models" or other == own:
                continue
            if other not in layers or layers[other] >= layers[own]:
                wrong.append(f"{name}:{line} imports {dotted}, which is not below {own}")
    assert not wrong, "\n".join(wrong)


def test_modules_of_the_library_import_each_other_in_no_circle():
    files = {name[: -len(".py")].replace("/", "."): name for name in python_files("rr_models/")}
    files = {module.removesuffix(".__init__"): name for module, name in files.items()}

    def needs(module: str) -> set[str]:
        found = set()
        for dotted, _, top in imports(files[module]):
            if top:
                found |= {other for other in (dotted, dotted.rpartition(".")[0]) if other in files}
        return found - {module, "rr_models"}

    order: list[str] = []

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in order:
            for other in sorted(needs(module)):
                visit(other, (*path, module))
            order.append(module)

    for module in files:
        visit(module, ())


def test_nodes_come_to_the_library_by_relative_imports_only():
    """In ComfyUI the pack's module name is its path: an absolute `import rr_models` finds nothing there."""
    absolute = [
        f"{name}:{node.lineno}"
        for name in [*python_files("nodes/", "rr_models/"), "__init__.py"]
        for node in ast.walk(ast.parse((ROOT / name).read_text("utf-8")))
        if (
            isinstance(node, ast.Import)
            and any(a.name.split(".")[0] in ("rr_models", "nodes") for a in node.names)
        )
        or (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and (node.module or "").split(".")[0] in ("rr_models", "nodes")
        )
    ]
    assert not absolute, "\n".join(absolute)


def test_heavy_packages_are_imported_where_they_are_needed():
    found = [
        f"{name}:{line} {dotted}"
        for name in [*python_files("rr_models/", "nodes/"), "__init__.py"]
        for dotted, line, top in imports(name)
        if top and dotted.split(".")[0] in HEAVY
    ]
    assert not found, "\n".join(found)


def test_importing_the_library_brings_little_along():
    """All of it, beside what ComfyUI has imported anyway: no heavy package, not torch's compiler, and few
    modules."""
    code = (
        "import importlib, pkgutil, sys, torch, numpy, PIL.Image, PIL.PngImagePlugin, asyncio, logging\n"
        "import pydantic.dataclasses\n"  # ComfyUI's own routes and API nodes are made of its models
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "before = set(sys.modules)\n"
        "import rr_models\n"
        "for found in pkgutil.walk_packages(rr_models.__path__, 'rr_models.'):\n"
        "    importlib.import_module(found.name) if '__main__' not in found.name else None\n"
        "print(*sorted(name for name in set(sys.modules) - before if not name.startswith('rr_models')))"
    )
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    new = run.stdout.split()
    heavy = {name for name in new if name.split(".")[0] in HEAVY or name.startswith("torch._dynamo")}
    assert not heavy and len(new) < 60, new


def test_the_pure_folders_load_without_heavy_packages():
    """In a Python of its own that refuses everything but the standard library, rr_models and LIGHT."""
    modules = [
        name[: -len(".py")].replace("/", ".").removesuffix(".__init__")
        for name in python_files("rr_models/")
        if name.startswith(tuple(f"rr_models/{pure.replace('.', '/')}" for pure in PURE))
    ]
    assert len(modules) > 25
    code = (
        "import importlib, sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        allowed = sys.stdlib_module_names | {{'rr_models', *{LIGHT!r}}}\n"
        "        if name.split('.')[0] not in allowed and not name.startswith('_sysconfigdata'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"for module in {modules!r}:\n"
        "    importlib.import_module(module)\n"
    )
    # -I: no site packages' environment and no current folder; -S would hide nothing more that matters here.
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_every_module_opens_with_its_purpose_and_stays_short():
    for name in [*python_files("nodes/", "rr_models/", "scripts/", "benchmarks/", "tests/"), "__init__.py"]:
        source = (ROOT / name).read_text("utf-8")
        assert ast.get_docstring(ast.parse(source)), f"{name} has no docstring"
        lines, limit = source.count("\n"), 350 if name.startswith(("nodes/", "rr_models/")) else 450
        assert lines <= limit, f"{name} has {lines} lines, more than {limit}; split it"


def test_few_modules_stand_beside_the_folders_of_the_library():
    modules = {PurePosixPath(name).stem for name in python_files("rr_models/") if name.count("/") == 1}
    beside = sorted(modules - {"__init__", "__main__"})
    assert len(beside) <= 5, f"{', '.join(beside)}: move some into a folder"


def test_requirements_are_plain_and_without_torch():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    for line in lines:
        # The Manager installs line by line, skips `transformers` without >= and never installs torch.
        assert re.fullmatch(r"[A-Za-z0-9_.-]+>=[0-9.]+", line), f"{line!r} is not name>=version"
        assert not re.match(r"torch(vision|audio|sde)?\b", line), line
    assert lines == project_list("dependencies"), "requirements.txt and project.dependencies differ"


def test_the_pins_meet_the_requirements():
    wanted = dict(line.split(">=") for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines())
    for line in (ROOT / "requirements-dev.txt").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        found = re.match(r"([a-z0-9-]+)==([0-9][\w.]*)(?: ; .+)?$", line)
        assert found, f"requirements-dev.txt: {line!r} is no pin"
        name, version = found.groups()
        if name in wanted:
            assert numbers(version) >= numbers(wanted.pop(name)), line
    assert not wanted, f"not pinned in requirements-dev.txt: {sorted(wanted)}"


def test_versions_agree():
    version = re.search(r'^version = "(\d+\.\d+\.\d+)"$', pyproject(), re.MULTILINE)
    assert version, "project.version must be X.Y.Z"
    assert f"\n## {version[1]}" in (ROOT / "CHANGELOG.md").read_text("utf-8"), (
        "CHANGELOG.md lacks this version"
    )


def test_ci_runs_the_documented_command():
    script = ROOT / ".ci" / "run"
    assert "python3 scripts/dev.py test" in script.read_text("utf-8").splitlines()
    assert os.name == "nt" or os.access(script, os.X_OK)


def pyproject() -> str:
    return (ROOT / "pyproject.toml").read_text("utf-8")


def project_list(key: str) -> list[str]:
    """A list of strings in pyproject.toml (Python 3.10 has no tomllib)."""
    block = re.search(rf"^{key} = \[(.*?)^\]", pyproject(), re.MULTILINE | re.DOTALL)
    assert block, f"pyproject.toml has no list {key}"
    return re.findall(r'"([^"]+)"', block[1])


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def body_lines(function: ast.FunctionDef) -> int:
    """Lines of a function's body, without signature and docstring."""
    statements = function.body[ast.get_docstring(function) is not None :]
    return statements[-1].end_lineno - statements[0].lineno + 1 if statements else 0


def test_nodes_only_connect_the_library_to_comfyui():
    """`execute` of a node converts, calls and returns; what it decides is library code."""
    lengths = {
        f"{name}: {function.name}": body_lines(function)
        for name in python_files("nodes/")
        for function in ast.walk(ast.parse((ROOT / name).read_text("utf-8")))
        if isinstance(function, ast.FunctionDef) and function.name == "execute"
    }
    assert len(lengths) > 10
    assert not {name: length for name, length in lengths.items() if length > 15}
