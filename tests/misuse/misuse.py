#!/usr/bin/env python3
"""What must not compile does not. Each .cpp here states one fact in its first line, makes the mistake under
#ifdef MISUSE and does it right under #else: the mistake must be rejected, and its twin accepted, so that it is the
mistake and nothing else that the compiler rejects. `// expect: REGEX` also looks at what the compiler says.

  misuse.py ROOT COMPILER...
"""
import re
import sys
from pathlib import Path

root, compiler = Path(sys.argv[1]), sys.argv[2:]
sys.path.insert(0, str(root / 'tests/support'))
from compiler import compiles, tap  # noqa: E402

# -Werror=unused-result: a dropped [[nodiscard]] is a mistake that these tests can speak of.
base = compiler + ['-std=c++20', '-pthread', '-Wall', '-Wextra', '-Werror=unused-result', f'-I{root}/core/include']


def rejects(text):
    def check():
        ok, said = compiles(base, text)
        if not ok:
            return 'without the mistake it must compile, but:\n' + said
        ok, said = compiles(base + ['-DMISUSE'], text)
        if ok:
            return 'the mistake compiles'
        expected = re.search(r'^// expect: (.*)$', text, re.M)
        if expected and not re.search(expected.group(1), said):
            return f'rejected, but not with "{expected.group(1)}":\n' + said
        return None
    return check


facts = []
for source in sorted((root / 'tests/misuse').glob('*.cpp')):
    text = source.read_text()
    facts.append((text.split('\n')[0].lstrip('/ ').rstrip('.').replace('#', ''), rejects(text)))
sys.exit(tap(facts))
