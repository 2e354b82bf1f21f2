#!/usr/bin/env bash
# hydra-core 1.3.8: a value means another thing in a config file than on the command line.
# One would guess that key=value is what "key: value" in the file would be. A file is YAML 1.1, where
# no is False, 12:30 is 750 (a number to the base of 60), 010 is 8 and inf a word; on the command line
# they are 'no', '12:30', '010' and infinity. So a country, a time or an item's key can be right in one
# place and wrong in the other.
#
# Output seen:
#   file: [False, 750, 8, 'inf']
#   command line: ['no', '12:30', '010', inf]
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check hydra-core==1.3.8 omegaconf==2.3.0
cat > job.py <<'PY'
import hydra


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg):
    print([cfg.country, cfg.time, cfg.item, cfg.limit])


main()
PY
printf '%s\n' "country: no" "time: 12:30" "item: 010" "limit: inf" > config.yaml
{
    echo "file: $(env/bin/python job.py)"
    echo "command line: $(env/bin/python job.py country=no time=12:30 item=010 limit=inf)"
} | tee said
grep -qxF "file: [False, 750, 8, 'inf']" said
grep -qxF "command line: ['no', '12:30', '010', inf]" said
