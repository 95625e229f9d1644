#!/usr/bin/env python3
"""The first C++ block of README.md is hello.cpp to the byte, and hello does what it says.   usage: hello_test.py HELLO"""
import re
import subprocess
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
wrong = []

blocks = re.findall(r'^```cpp\n(.*?)^```$', (here.parents[1] / 'README.md').read_text(), re.M | re.S)
source = (here / 'hello.cpp').read_text()
if not blocks:
    wrong.append('README.md has no C++ block')
elif blocks[0] != source:
    wrong.append('the first C++ block of README.md is not tests/example/hello.cpp')
if len(source.splitlines()) != 15:
    wrong.append('README.md promises 15 lines')

# The two lines come from different threads, so their order is open.
ran = subprocess.run([sys.argv[1]], stdout=subprocess.PIPE, timeout=60)
if ran.returncode != 0 or sorted(ran.stdout.decode().splitlines()) != ['fib(30) = 832040', 'hello from a worker']:
    wrong.append(f'hello printed {ran.stdout!r} and ended with {ran.returncode}')

print(*wrong, sep='\n')
sys.exit(1 if wrong else 0)
