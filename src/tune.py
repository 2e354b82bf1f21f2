"""Search hyper-parameters: `python src/tune.py search=learning_rate model=sasrec`."""

import os
from pathlib import Path

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.commands import run_command

if __name__ == "__main__":
    run_command("tune")
