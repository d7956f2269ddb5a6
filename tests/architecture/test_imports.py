"""Imports run downwards only, and nobody but the runtime knows the async mode."""

import subprocess
import sys
from pathlib import Path

from tests.support.stack import ROOT


def test_every_import_contract_holds() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_line_starts_without_eventlet_celery_and_flask_sqlalchemy() -> None:
    show = "import sys, app.cli; print([m for m in ('eventlet', 'celery', 'flask_sqlalchemy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", show], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
