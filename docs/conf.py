"""Sphinx's configuration. `make docs` builds the pages, with warnings as errors."""

import logging
import re
import shutil
from pathlib import Path

import click
from docutils import nodes
from sphinx.application import Sphinx

import pisyft  # first: it has PySyft repaired when autodoc imports that
from pisyft import cli

logging.getLogger("syft").setLevel(logging.WARNING)  # it tells which optional packages are missing

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "PiSyft"
author = "The PiSyft authors"
copyright = "The PiSyft authors. Apache-2.0"
version = release = pisyft.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["reference/_commands.md"]  # which another page includes
html_theme = "furo"
html_title = "PiSyft"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
# A link that leads nowhere is a warning, and warnings are errors.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
# `make notebooks` has executed them; here they are shown as they are.
nb_execution_mode = "off"

# Docstrings are plain text with `code` in single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "both"
autodoc_typehints_description_target = "documented"
python_maximum_signature_line_length = 100
autodoc_default_options = {"members": True}
autodoc_class_signature = "mixed"
napoleon_use_ivar = True
# Types of PyTorch, NumPy, PySyft and others have no pages here.
nitpicky = False


def indent_examples(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Indented lines in our docstrings are code; reStructuredText wants `::` before them."""
    in_code = False
    for number, line in enumerate(list(lines)):
        indented = line.startswith("    ") and line.strip()
        if indented and not in_code and number and not lines[number - 1].strip():
            lines[number - 1] = "\n::\n"
        in_code = bool(indented) or (in_code and not line.strip())
    lines[:] = "\n".join(lines).split("\n")


def collect_notebooks(app: Sphinx) -> None:
    """Copy the notebooks to where Sphinx finds them: as `make notebooks` has executed them, or else without output."""
    target = HERE / "notebooks"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        executed = ROOT / "artifacts" / "notebooks" / notebook.name
        newer = executed.exists() and executed.stat().st_mtime > notebook.stat().st_mtime
        shutil.copy(executed if newer else notebook, target)


def collect_commands(app: Sphinx) -> None:
    """Write down what `--help` says, of each command."""
    pages: list[str] = []

    def collect(command: click.Command, path: str, parent: click.Context | None) -> None:
        context = click.Context(command, parent, path.split()[-1], max_content_width=92, terminal_width=92)
        title = f"## {path}" if len(path.split()) < 3 else f"### {path}"
        pages.append(f"{title}\n\n```text\n{command.get_help(context)}\n```\n")
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                within = command.get_command(context, name)
                assert within is not None
                if not within.hidden:
                    collect(within, f"{path} {name}", context)

    collect(cli.main, "pisyft", None)
    (HERE / "reference" / "_commands.md").write_text("\n".join(pages), encoding="utf-8")


def link_to_repository(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Links out of `docs/`, which lead to files on a forge and in an editor, become the file's name here."""
    for link in list(doctree.findall(nodes.reference)):
        if re.match(r"\.\./(?!.*\.html)", link.get("refuri", "")):
            link.replace_self(nodes.literal(text=link.astext()))


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", collect_notebooks)
    app.connect("builder-inited", collect_commands)
    app.connect("autodoc-process-docstring", indent_examples, priority=900)
    app.connect("doctree-resolved", link_to_repository)
