#!/usr/bin/env python3
"""Makes one C++ source of text files: `extern const char NAME[]` for each, so that the program needs no file beside it.

  embed.py OUTPUT NAME=FILE…
"""
import sys
from pathlib import Path

output, *parts = sys.argv[1:]
text = ['namespace bench {\n']
for part in parts:
    name, file = part.split('=', 1)
    data = Path(file).read_bytes()
    text.append(f'extern const char {name}[];\nconst char {name}[] = {{')
    text.append(','.join(str(b if b < 128 else b - 256) for b in data) + ',0};\n')
text.append('}  // namespace bench\n')
Path(output).write_text(''.join(text))
