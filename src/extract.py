"""Make the features of domain folders: `python src/extract.py data=scientific`."""

import os
from pathlib import Path

os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parents[1]))

from missrec.app.commands import run_command

if __name__ == "__main__":
    run_command("extract")
