#!/usr/bin/env python3
"""Meson does not glob, so nothing notices a source that no meson.build lists: this does.

  listed.py ROOT
"""
import re
import sys
from pathlib import Path

root = Path(sys.argv[1])
wrong = []


def listed(build):
    return re.sub(r'#[^\n]*', '', (root / build / 'meson.build').read_text())


def expect(build, folder, pattern, name=lambda p: p.name):
    text = listed(build)
    for p in sorted((root / folder).glob(pattern)):
        if f"'{name(p)}'" not in text:
            wrong.append(f'{p.relative_to(root)} is not listed in {build}/meson.build')


expect('core', 'core/src', '*.cpp')
expect('core', 'core/include/weir', '*.hpp')
expect('core', 'core/include/weir/detail', '*.hpp')
expect('core/sim', 'core/sim', '*.cpp')
expect('tests/sim', 'tests/sim', '*.cpp')
expect('tests/unit', 'tests/unit', '*_test.cpp', lambda p: p.name[:-len('_test.cpp')])
expect('tests/stress', 'tests/stress', '*_stress.cpp', lambda p: p.name[:-len('_stress.cpp')])
expect('tests/bench', 'tests/bench', '*_test.cpp', lambda p: p.name[:-len('_test.cpp')])
expect('tests/example', 'tests/example', '*.cpp', lambda p: p.stem)
umbrella = root / 'core/include/weir/weir.hpp'
if umbrella.exists():
    for p in sorted((root / 'core/include/weir').glob('*.hpp')):
        if p != umbrella and f'<weir/{p.name}>' not in umbrella.read_text():
            wrong.append(f'{p.relative_to(root)} is not included by weir/weir.hpp')
print(*wrong, sep='\n')
sys.exit(1 if wrong else 0)
