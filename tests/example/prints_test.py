#!/usr/bin/env python3
"""A small example prints what its last comment says, and stays small.   usage: prints_test.py SOURCE PROGRAM"""
import subprocess
import sys
from pathlib import Path

source = Path(sys.argv[1]).read_text()
wrong = []
code, found, said = source.partition('\n// prints:\n')
if not found:
    wrong.append('the source does not say what it prints')
if len(code.splitlines()) > 60:
    wrong.append(f'{len(code.splitlines())} lines are no small example')
expected = [line.removeprefix('// ') for line in said.splitlines()]

ran = subprocess.run([sys.argv[2]], stdout=subprocess.PIPE, timeout=60)
if ran.returncode != 0 or ran.stdout.decode().splitlines() != expected:
    wrong.append(f'it printed\n{ran.stdout.decode()}and ended with {ran.returncode}, not\n{chr(10).join(expected)}')

print(*wrong, sep='\n')
sys.exit(1 if wrong else 0)
