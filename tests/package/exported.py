#!/usr/bin/env python3
"""Each function and variable that a public header declares with WEIR_API is one that the shared library exports: programs that are linked
with the static one would not notice.   usage: exported.py INCLUDE LIBRARY
"""
import re
import subprocess
import sys
from pathlib import Path

include, library = Path(sys.argv[1]), sys.argv[2]
exported = subprocess.run(['nm', '-DC', '--defined-only', library], stdout=subprocess.PIPE, check=True, text=True).stdout
declared = set()
for header in sorted((include / 'weir').rglob('*.hpp')):
    if header.name == 'sim.hpp':  # another library's
        continue
    text = re.sub(r'//[^\n]*|^#.*$|__attribute__\(\(.*?\)\)', '', header.read_text(), flags=re.M)
    for m in re.finditer(r'\bWEIR_API\b[^;{(=]*?(~?\w+)\s*[;({=]', text):
        declared.add((header.relative_to(include), m[1]))
missing = [f'{header}: {name} is not exported' for header, name in sorted(declared) if not re.search(rf'\bweir::(\w+::)*{name}\b', exported)]
if len(declared) < 50:
    missing.append(f'only {len(declared)} names found in {include}')
print(*missing, sep='\n')
sys.exit(1 if missing else 0)
