#!/usr/bin/env python3
"""Each header compiles alone and twice; the public ones also without exceptions and RTTI, and with more warnings than
weir itself asks for, because they are compiled in other people's trees.

  headers.py ROOT COMPILER...
"""
import sys
from pathlib import Path

root, compiler = Path(sys.argv[1]), sys.argv[2:]
sys.path.insert(0, str(root / 'tests/support'))
from compiler import compiles, tap  # noqa: E402

include = root / 'core/include'
base = compiler + ['-std=c++20', '-pthread', '-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Wconversion', '-Werror',
                   f'-I{include}']


def alone(spelling, *flags):
    def check():
        ok, said = compiles(base + list(flags), f'#include {spelling}\n#include {spelling}\n')
        return None if ok else said
    return check


facts = []
for header in sorted(include.rglob('*.hpp')):
    name = header.relative_to(include)
    facts.append((f'{name} compiles alone', alone(f'<{name}>', '-Wsign-conversion', '-Wnon-virtual-dtor')))
    facts.append((f'{name} compiles without exceptions and RTTI', alone(f'<{name}>', '-fno-exceptions', '-fno-rtti')))
for header in sorted((root / 'core/src').glob('*.hpp')):
    facts.append((f'src/{header.name} compiles alone', alone(f'"{header.name}"', f'-I{root}/core/src')))
sys.exit(tap(facts))
