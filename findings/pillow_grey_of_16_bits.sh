#!/usr/bin/env bash
# Pillow 12.0.0: a grey PNG of 16 bits loses its upper half when it is made RGB, and the grey that
# such a file declares transparent is compared with numbers of another depth.
# One would guess that convert("RGB") scales 16 bits to 8, as it does for PNGs of 16-bit colour. It
# clips: every value from 255 on is white, so a photograph becomes a white page. And of a grey PNG of
# 2 bits, whose pixels are scaled to 0, 85, 170, 255, info["transparency"] stays 1, as in the file,
# so that no pixel is transparent. No warning in either case.
#
# Output seen:
#   values 0, 32768, 65535 as RGB: 0, 255, 255
#   2 bits, key 1 (grey 85): alpha of the four greys: 255, 255, 255, 255
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check pillow==12.0.0 numpy==2.3.4
cat > look.py <<'PY'
import io
import struct
import zlib

import numpy as np
from PIL import Image


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


deep = io.BytesIO()
Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16)).save(deep, "PNG")
red = [pixel[0] for pixel in Image.open(deep).convert("RGB").getdata()]
print("values 0, 32768, 65535 as RGB:", ", ".join(map(str, red)))

# Four pixels of 2 bits in one byte: 0, 1, 2, 3.
parts = [
    chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, 2, 0, 0, 0, 0)),
    chunk(b"tRNS", struct.pack(">H", 1)),
    chunk(b"IDAT", zlib.compress(b"\0" + bytes([0b00011011]))),
    chunk(b"IEND", b""),
]
shallow = Image.open(io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(parts)))
alpha = [pixel[3] for pixel in shallow.convert("RGBA").getdata()]
print("2 bits, key 1 (grey 85): alpha of the four greys:", ", ".join(map(str, alpha)))
PY
env/bin/python look.py | tee said
grep -qx "values 0, 32768, 65535 as RGB: 0, 255, 255" said
grep -qx "2 bits, key 1 (grey 85): alpha of the four greys: 255, 255, 255, 255" said
