"""What the run scripts share; each module says what it holds. Imports only `tasks` and `metrics` of ours.

Who imports it also gets one line and exit code 2, in place of a traceback, where Python lacks a package.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = ("heads", "hub", "metrics", "mixture", "noise", "reporting", "tasks", "toyworld")
_hook_before = sys.excepthook


def missing_package_hook(kind, error, traceback):
    """sys.excepthook that names a missing package, the Python that lacks it and what to do; else the one before."""
    package = getattr(error, "name", None) if issubclass(kind, ModuleNotFoundError) else None
    if not package or package in OURS or "." in package:  # with a dot: a part of a package that is there
        return _hook_before(kind, error, traceback)
    script, python = Path(sys.argv[0]).name, ROOT / ".venv/bin/python"
    if python.exists() and Path(sys.executable) != python:
        advice = "start it with .venv/bin/python, or activate that: source .venv/bin/activate"
    else:
        advice = "bash setup.sh makes .venv and installs requirements.txt; then start it with .venv/bin/python"
    print(f"{script}: error: {sys.executable} has no package {package}; {advice}", file=sys.stderr)
    sys.exit(2)


sys.excepthook = missing_package_hook
