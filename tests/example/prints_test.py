#!/usr/bin/env python3
"""A small example prints what its last comment says, and stays small.   usage: prints_test.py SOURCE PROGRAM"""
import os
import subprocess
import sys
from pathlib import Path

source = Path(sys.argv[1]).read_text()
wrong = []
code, found, said = source.partition('\n// prints:\n')
if not found:
    wrong.append('the source does not say what it prints')
if len(code.splitlines()) > (80 if Path(sys.argv[1]).name.startswith('guide_') else 60):  # a page of the guide shows several things
    wrong.append(f'{len(code.splitlines())} lines are no small example')
expected = [line.removeprefix('// ') for line in said.splitlines()]

forks = dict(os.environ, TSAN_OPTIONS=os.environ.get('TSAN_OPTIONS', '') + ':die_after_fork=0')  # and starts threads then
ran = subprocess.run([sys.argv[2]], env=forks, stdout=subprocess.PIPE, timeout=60)
if ran.returncode != 0 or ran.stdout.decode().splitlines() != expected:
    wrong.append(f'it printed\n{ran.stdout.decode()}and ended with {ran.returncode}, not\n{chr(10).join(expected)}')

print(*wrong, sep='\n')
sys.exit(1 if wrong else 0)
