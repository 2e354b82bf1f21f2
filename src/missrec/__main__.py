"""`python -m missrec train …`: the installed command, also where its script is not on the path."""

from missrec.app.console import main

if __name__ == "__main__":
    main()
