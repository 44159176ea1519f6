"""Sphinx configuration. Nothing is fetched: the build works without a network."""

import ast
import importlib
import os
import shutil
from pathlib import Path

import neuroperc

HERE = Path(__file__).parent
ROOT = HERE.parent
os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars do not belong on a page

project = "neuroperc"
author = "The neuroperc developers"
project_copyright = author
version = release = neuroperc.__version__

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax"]
exclude_patterns = ["_build", "_templates", "jupyter_execute"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_theme_options = {"show_nav_level": 2, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
html_title = "neuroperc"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "auto"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
suppress_warnings = ["mystnb.unknown_mime_type"]

autosummary_generate = True
autodoc_typehints = "none"  # the numpydoc text says shapes and units; signatures stay readable
autodoc_member_order = "bysource"
autodoc_default_options = {
    "exclude-members": "set_fit_request, set_predict_request, set_score_request, get_metadata_routing"
}
numpydoc_show_class_members = False


def public_names(stub: Path) -> list[str]:
    """Return the names that a stub re-exports; the stub is the public API."""
    return [
        alias.asname or alias.name
        for node in ast.parse(stub.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


def write_reference() -> None:
    """Write one page a public package, from the stubs."""
    target = HERE / "reference" / "generated"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    package = Path(neuroperc.__file__).parent
    described: set[int] = set()  # what a package above has described already has its page
    for stub in sorted(package.rglob("__init__.pyi"), key=lambda path: (len(path.parts), path)):
        module = ".".join(("neuroperc", *stub.parent.relative_to(package).parts))
        modules = {path.stem for folder in (package, stub.parent) for path in folder.iterdir()}
        names = [name for name in public_names(stub) if name not in modules]
        items = {name: id(getattr(importlib.import_module(module), name)) for name in names}
        names = [name for name in names if items[name] not in described]
        described |= set(items.values())
        if names:
            entries = "\n".join(f"   {name}" for name in sorted(set(names)))
            text = f"{module}\n{'=' * len(module)}\n\n.. automodule:: {module}\n   :no-members:\n\n"
            text += f".. currentmodule:: {module}\n\n.. autosummary::\n   :toctree: .\n\n{entries}\n"
            (target / f"{module}.package.rst").write_text(text, encoding="utf-8")


def copy_notebooks() -> None:
    """Bring the notebooks under the documentation's root, where Sphinx can see them."""
    gallery = HERE / "gallery"
    shutil.rmtree(gallery, ignore_errors=True)
    shutil.copytree(ROOT / "notebooks", gallery, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))


write_reference()
copy_notebooks()
