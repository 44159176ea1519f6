"""The contract as tests: floors, the public surface, lazy imports, documentation, unit suffixes."""

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import neuroperc

PACKAGE = Path(neuroperc.__file__).parent
ROOT = PACKAGE.parent
STUBS = sorted(PACKAGE.rglob("__init__.pyi"))
HEAVY = ("torch", "xarray", "matplotlib", "pandas", "torchvision", "timm", "PIL", "av")

#: Float parameters that have no unit or whose unit stands in their documentation: ratios, weights, and the like.
UNITLESS = frozenset(
    re.findall(
        r"\w+",
        """
        scaling aspect alpha beta lr tolerance step_size momentum weight weights eps epsilon gain gamma
        contrast background decay clip fraction share confidence coverage threshold level quantile ridge
        penalty range_penalty linear codes x y value values image images picture pictures data dtype
        transition k1 k2 data_range published at_least at_most lapse guess slope a b p d s z power
        min_contrast max_contrast contrast_threshold range_weight weight_decay ema_decay max_grad_norm
        warmup betas percent_correct ours interval intervals learning_rate mean std best epochs decay_factor
        clip_norm validate offset fps location spread critical criterion
        noise_sd subject_sd difference_sd gain_sd prior share_inside target log_posterior
        factor from_n to_n ceiling reliability k lower upper estimate low high log_likelihood deviance lapse_bounds
        stage_tolerance sigma sharpness length_sd dropout correct area simple f_value p_value strength background
        fractions slopes minimum regularization screen gap merge_length test_share
        nonlinearity ncsnr ncsnr_spread shared_noise_share session_drift mixed_share depths limits
        ar1 noise_scale run_drift
        coherence component_contrast density_per_deg2 depth exponent rms_contrast sd_cycles signal_share speed_bandwidth
        step_cycles
        step grayscale_share learning_rates
        accuracy scale slice_time_ref outside negative_gain
        concentration probability temperature progress limits first_factor final_factor entry_dropout block_dropout
        null_share prior_weight mixing_share guidance contrast_weight shares
        tau min_noise_ceiling scores tv max_change
        """,
    )
)
UNITS = (
    "_deg",
    "_px",
    "_cpd",
    "_cpi",
    "_hz",
    "_s",
    "_ms",
    "_m",
    "_cd_m2",
    "_xyy",
    "_nm",
    "_in",
    "_rad",
    "_mb",
    "_pt",
    "_mm",
)


RUN_CLI = "import sys; sys.argv = ['neuroperc', '{}']; import neuroperc.cli as c\ntry: c.main()\nexcept SystemExit: 0"


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


def module_name(stub):
    return ".".join(("neuroperc", *stub.parent.relative_to(PACKAGE).parts))


def stub_names(stub):
    return [
        alias.asname or alias.name
        for node in ast.parse(stub.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


def public_objects():
    for stub in STUBS:
        module = importlib.import_module(module_name(stub))
        for name in stub_names(stub):
            yield f"{module_name(stub)}.{name}", getattr(module, name)


def test_floors_doors_and_cycles():
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_cycle_among_modules():
    import grimp

    graph = grimp.build_graph("neuroperc", cache_dir=None, exclude_type_checking_imports=True)
    # The stubs' packages are lazy: their __init__ imports nothing, so a cycle would be a real one.
    visiting, done = [], set()

    def visit(module):
        assert module not in visiting, f"cycle: {' -> '.join([*visiting[visiting.index(module) :], module])}"
        if module in done:
            return
        visiting.append(module)
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            visit(imported)
        visiting.pop()
        done.add(module)

    for module in sorted(graph.modules):
        visit(module)


def test_every_package_is_lazy_and_has_a_stub():
    folders = {path.parent for path in PACKAGE.rglob("__init__.py")}
    eager = {folder.name for folder in folders - {stub.parent for stub in STUBS}}
    # Packages whose modules are imported by full name have no one-level surface: the command line, the file formats.
    assert eager <= {"cli", "readers"}, f"packages without a stub: {sorted(eager)}"


@pytest.mark.parametrize("stub", STUBS, ids=module_name)
def test_the_stub_is_the_surface(stub):
    module = importlib.import_module(module_name(stub))
    assert sorted(set(module.__all__)) == sorted(set(stub_names(stub)))
    for name in stub_names(stub):
        assert hasattr(module, name)


def test_public_names_are_documented():
    bare = [
        name
        for name, item in public_objects()
        if (inspect.isroutine(item) or inspect.isclass(item) or inspect.ismodule(item))
        and len((item.__doc__ or "").strip()) < 20
    ]
    assert bare == []


def test_public_functions_and_constructors_have_examples():
    bare = [
        name
        for name, item in public_objects()
        if (inspect.isroutine(item) or inspect.isclass(item))
        and item.__module__.startswith("neuroperc")
        and ">>>" not in (item.__doc__ or "")
    ]
    assert bare == []


def test_public_functions_are_annotated():
    bare = []
    for name, item in public_objects():
        if not inspect.isroutine(item) and not inspect.isclass(item):
            continue
        if inspect.isclass(item) and (item.__init__ is object.__init__ or getattr(item, "_is_protocol", False)):
            continue  # a protocol is never made; its constructor is Python's own
        target = item.__init__ if inspect.isclass(item) else item
        parameters = inspect.signature(target).parameters
        bare += [
            f"{name}({p.name})"
            for p in parameters.values()
            if p.name not in ("self", "cls") and p.annotation is inspect.Parameter.empty
        ]
    assert bare == []


def test_dimensioned_float_parameters_end_in_their_unit():
    bare = []
    for name, item in public_objects():
        if not inspect.isroutine(item) and not inspect.isclass(item):
            continue
        for parameter in inspect.signature(item).parameters.values():
            written = str(parameter.annotation)
            is_float = re.search(r"\bfloat\b", written) is not None
            known = parameter.name in UNITLESS or parameter.name.startswith(("n_", "px_per_deg"))
            if is_float and not known and not re.search(r"(%s)(_hw)?$" % "|".join(UNITS), parameter.name):  # noqa: UP031
                bare.append(f"{name}({parameter.name}: {written})")
    assert bare == [], "add the unit to the name, or the name to UNITLESS when it has none"


@pytest.mark.parametrize(
    "code",
    ["import neuroperc", "import neuroperc.cli", RUN_CLI.format("--help"), RUN_CLI.format("--version")],
    ids=["import", "cli", "help", "version"],
)
def test_what_must_be_quick_loads_nothing_heavy(code):
    done = run_python(f"{code}\nimport sys; print(*(m for m in {HEAVY} if m in sys.modules), file=sys.stderr)")
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""


def test_every_name_loads_eagerly_too():
    done = run_python("import neuroperc; print(len(neuroperc.__all__))", EAGER_IMPORT="1")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(stub_names(PACKAGE / "__init__.pyi"))


def test_only_known_words_of_the_error_template():
    """Input is checked by raising, never by assert, and the library never prints."""
    bad = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            prints = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if isinstance(node, ast.Assert) or prints:
                bad.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert bad == []


def test_files_keep_their_size():
    long = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in PACKAGE.rglob("*.py")}
    assert {name: lines for name, lines in long.items() if lines > 500} == {}


def test_functions_keep_their_size():
    long = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                if node.end_lineno - first.lineno + 1 > 60:
                    long.append(f"{path.relative_to(ROOT)}:{node.name}")
    assert long == []


def test_the_architecture_page_names_every_module():
    page = ROOT / "docs" / "explain" / "architecture.md"
    text = page.read_text(encoding="utf-8")
    parts = {p.stem if p.suffix else p.name for p in PACKAGE.iterdir() if not p.name.startswith("__")}
    missing = sorted(p for p in parts - {"py", "_check"} if p not in text)
    assert missing == []
