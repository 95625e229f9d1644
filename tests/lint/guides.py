#!/usr/bin/env python3
"""What the documents quote is what is compiled, and what they point at is there.

Each ```cpp block of README.md and of core/guide stands word for word (but for its indentation) in a program of tests/example, or in
tests/sim/example.cpp. Each link of every document to a file or to a heading leads somewhere, each page of the guide is in its index, and
README.md names each example that is not one of the guide's own.

  guides.py ROOT
  guides.py --self-test
"""
import re
import sys
import tempfile
import textwrap
from pathlib import Path


def blocks(text):
    return re.findall(r'^```cpp\n(.*?)^```$', text, re.M | re.S)


def quoted(block, sources):
    """Is it a run of whole lines of a source, with the indentation that all of them share taken away?"""
    wanted = block.splitlines()
    for lines in sources:
        for i, line in enumerate(lines):
            if line.strip() == wanted[0].strip():
                run = '\n'.join(lines[i:i + len(wanted)]) + '\n'
                if textwrap.dedent(run) == block:
                    return True
    return False


def without_code(text):
    text = re.sub(r'^```.*?^```$', '', text, flags=re.M | re.S)
    return re.sub(r'`[^`\n]*`', lambda m: 'x' * len(m[0]), text)


def anchor(heading):
    """As GitHub makes them."""
    heading = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading)
    return re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-')


def anchors(page):
    text = re.sub(r'^```.*?^```$', '', page.read_text(), flags=re.M | re.S)
    return {anchor(h) for h in re.findall(r'^#+ (.*)$', text, re.M)}


def links(text):
    return [m for m in re.findall(r'\]\(([^)\s]+)\)', without_code(text)) if not re.match(r'[a-z]+:', m)]


def faults(root):
    wrong = []
    guide = root / 'core/guide'
    programs = [*sorted((root / 'tests/example').glob('*.cpp')), root / 'tests/sim/example.cpp']
    sources = [p.read_text().splitlines() for p in programs if p.exists()]
    for page in [root / 'README.md', *sorted(guide.glob('*.md'))]:
        for block in blocks(page.read_text()):
            if not block.strip() or not quoted(block, sources):
                wrong.append(f'{page.relative_to(root)}: in no example: {block.splitlines()[0] if block else "an empty block"} …')
    pages = [*sorted(root.glob('*.md')), *sorted(root.glob('*/*.md')), *sorted(guide.glob('*.md'))]
    for page in dict.fromkeys(pages):
        for link in links(page.read_text()):
            path, _, heading = link.partition('#')
            target = (page.parent / path).resolve() if path else page
            if not target.exists():
                wrong.append(f'{page.relative_to(root)}: {link} is not there')
            elif heading and target.suffix == '.md' and heading not in anchors(target):
                wrong.append(f'{page.relative_to(root)}: {link}: no such heading')
    index = guide / 'README.md'
    listed = links(index.read_text()) if index.exists() else []
    for page in sorted(guide.glob('*.md')):
        if page != index and page.name not in listed:
            wrong.append(f'{page.relative_to(root)} is not in the guide\'s index')
    named = links((root / 'README.md').read_text())
    for program in programs[:-1]:
        name = str(program.relative_to(root))
        if not program.name.startswith('guide_') and name not in named:
            wrong.append(f'README.md does not name {name}')
    return wrong


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)

        def write(name, text):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        write('tests/example/a.cpp', 'int main() {\n  if (true)\n    f();\n}\n')
        write('README.md', '# A `b`: c\n```cpp\nif (true)\n  f();\n```\n[x](core/guide/README.md#the-guide) `[no](link)` [w](https://x.y) [here](#a-b-c) [a](tests/example/a.cpp)\n')
        write('core/guide/README.md', '# The guide\n[p](p.md)\n')
        write('core/guide/p.md', '')
        assert faults(root) == [], faults(root)
        for name, text, what in [
                ('core/guide/p.md', '```cpp\nif (true)\n    f();\n```\n', 'in no example'),
                ('core/guide/p.md', '```cpp\nif (true) f();\n```\n', 'in no example'),
                ('core/guide/p.md', '[gone](q.md)', 'q.md is not there'),
                ('core/guide/p.md', '[gone](../../README.md#d)', 'no such heading'),
                ('core/guide/q.md', '', 'not in the guide'),
                ('tests/example/b.cpp', '', 'does not name')]:
            write(name, text)
            found = faults(root)
            assert len(found) == 1 and what in found[0], (name, text, found)
            if name != 'core/guide/p.md':
                (root / name).unlink()
            write('core/guide/p.md', '')
    print('it finds what it looks for')


if sys.argv[1] == '--self-test':
    self_test()
else:
    wrong = faults(Path(sys.argv[1]))
    print(*wrong, sep='\n')
    sys.exit(1 if wrong else 0)
