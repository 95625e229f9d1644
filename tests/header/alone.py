#!/usr/bin/env python3
"""Every source file in these folders of the project compiles alone, without a warning.

  alone.py BUILD FOLDER…      a build without unity_tests; of its commands the compiler only checks the syntax

tools/check compiles them eight at a time, which hides a header that a file needs and does not include, and a helper that
is another file's. Prints a TAP point a file.
"""
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

build = Path(sys.argv[1]).resolve()
root = Path(__file__).resolve().parent.parent.parent
rules = subprocess.run(['ninja', '-C', build, '-t', 'compdb', 'cpp_COMPILER'], capture_output=True, text=True, check=True).stdout

commands = {}
for entry in json.loads(rules):
    source = Path(os.path.normpath(build / entry['file']))
    if any(source.is_relative_to(root / folder) for folder in sys.argv[2:]) and not source.is_relative_to(build):
        commands.setdefault(source.relative_to(root), entry['command'])
if not commands:
    sys.exit(f'{build} compiles no file there')


def check(command):
    words = [w for w in shlex.split(command) if w not in ('-MD', '-c')]
    for option in ('-MQ', '-MF', '-o'):
        at = words.index(option)
        del words[at:at + 2]
    return subprocess.run(words + ['-fsyntax-only'], cwd=build, capture_output=True, text=True)


failed = 0
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    print(f'1..{len(commands)}')
    for number, (name, done) in enumerate(zip(commands, pool.map(check, commands.values())), 1):
        print('ok' if done.returncode == 0 else 'not ok', number, '-', name)
        if done.returncode != 0:
            failed += 1
            print(done.stdout + done.stderr, file=sys.stderr)
sys.exit(failed != 0)
