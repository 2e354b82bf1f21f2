#!/usr/bin/env bash
# mkdocs 1.6.1: with --quiet, --strict lets every warning pass, with exit code 0.
# One would guess that --quiet decides what is printed and --strict what fails. Warnings are counted
# by a handler behind the level that --quiet raises, so none is counted: a docs check in CI that was
# made quiet no longer finds a broken link.
#
# Output seen:
#   --strict: exit code 1
#   --strict --quiet: exit code 0
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check mkdocs==1.6.1
mkdir docs
echo "site_name: A shop" > mkdocs.yml
echo "[prices](there_is_no_such_page.md)" > docs/index.md
for flags in --strict "--strict --quiet"; do
    # shellcheck disable=SC2086  # two flags
    NO_MKDOCS_2_WARNING=1 env/bin/mkdocs build $flags > printed 2>&1 && code=0 || code=$?
    echo "$flags: exit code $code"
done | tee said
grep -qxF -- "--strict: exit code 1" said
grep -qxF -- "--strict --quiet: exit code 0" said
