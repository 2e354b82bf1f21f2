#!/usr/bin/env bash
# scikit-learn 1.7.2: CountVectorizer and TfidfVectorizer with strip_accents="unicode" and their own
# token_pattern cut up words of scripts whose signs Unicode calls marks, without a word.
# One would guess that strip_accents takes é for e and leaves other scripts alone, and that \w\w+
# finds words of any language. In fact the vowel signs of Hindi are no \w, so a word breaks at each
# of them and what is left of one letter is dropped; stripping takes the strokes of ガ away, so that
# different words become one; a Chinese clause without a blank is a single term.
#
# Output seen:
#   as they are: किताब (book) -> []
#   as they are: रसोई घर (kitchen) -> ['रस', 'घर']
#   accents stripped: ガラス (glass) -> ['カラス']
#   accents stripped: カラス (crow) -> ['カラス']
#   as they are: 不锈钢保温杯很好 (this thermos is good) -> ['不锈钢保温杯很好']
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check scikit-learn==1.7.2
cat > look.py <<'PY'
from sklearn.feature_extraction.text import CountVectorizer

texts = {"किताब": "book", "रसोई घर": "kitchen", "ガラス": "glass", "カラス": "crow",
         "不锈钢保温杯很好": "this thermos is good"}
for name, settings in (("as they are", {}), ("accents stripped", {"strip_accents": "unicode"})):
    terms = CountVectorizer(**settings).build_analyzer()
    for text, meaning in texts.items():
        print(f"{name}: {text} ({meaning}) -> {terms(text)}")
PY
env/bin/python look.py | tee said
grep -qxF "as they are: किताब (book) -> []" said
grep -qxF "as they are: रसोई घर (kitchen) -> ['रस', 'घर']" said
grep -qxF "accents stripped: ガラス (glass) -> ['カラス']" said
grep -qxF "accents stripped: カラス (crow) -> ['カラス']" said
grep -qxF "as they are: 不锈钢保温杯很好 (this thermos is good) -> ['不锈钢保温杯很好']" said
