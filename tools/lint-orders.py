#!/usr/bin/env python3
"""Memory orders are argued, not sprinkled. In each file of core/

  * an atomic operation names its order;
  * one that is not relaxed, and each fence, has a comment with a [tag] on its line or at the end of its statement;
  * each tag is listed under "Edges" in the head block of the file, or of a file that it includes: state and its edges
    are described where the state lives, once;
  * each listed edge has two ends: two tagged operations in that file and in those that include it, or one of them in a
    file that the listing names:    [publish] ↔ worker.cpp: what is made visible to whom
    A read-modify-write that both acquires and releases is both ends: what one thread does ↔ what the next one does.

A line that only looks like an atomic operation says  // lint: not atomic

  lint-orders.py [ROOT]        check the tree
  lint-orders.py --edges       print the edges
  lint-orders.py --self-test   show that bad files are found
"""
import re
import sys
import tempfile
from pathlib import Path

SEAM = {'atomics.hpp', 'hooked_atomics.hpp', 'sim_atomics.hpp'}  # defines the orders and fences; argues in prose
RELAXED = {'slots_'}    # members of a type whose load() and store() are relaxed by definition

ORDER = re.compile(r'(?<![.\w>])(?:std::)?(?:memory_order(?:_|::))?(acquire|release|acq_rel|seq_cst|consume)\b(?!\s*\()')
FENCE = re.compile(r'\b(?:fence_seq_cst|light_fence|heavy_fence|atomic_thread_fence|atomic_signal_fence)\s*\(')
DECLARES = re.compile(r'^\s*(?:using\b|static void\b|inline constexpr\b|constexpr\b|WEIR_API void\b|void heavy_fence\b)')
OPERATION = re.compile(r'(\w*)(?:\[[^\]]*\])?(?:\.|->)\s*(load|store|exchange|compare_exchange_(?:weak|strong)|'
                       r'fetch_(?:add|sub|and|or|xor)|test_and_set)\s*\(')
ANY_ORDER = re.compile(r'\b(?:memory_order_)?(relaxed|acquire|release|acq_rel|seq_cst|consume)\b|\border\b|\bmo\b')
BOTH_ENDS = re.compile(r'\b(?:exchange|fetch_\w+)\s*\([^;]*\b(?:acq_rel|seq_cst)\b')
TAG = re.compile(r'\[([a-z][a-z0-9_-]*)\]')
LISTED = re.compile(r'^//\s+((?:\[[a-z][a-z0-9_-]*\]\s*)+)(.*)')
INCLUDE = re.compile(r'^\s*#\s*include\s*["<](?:weir/)?([^">]+)[">]', re.M)
FILE = re.compile(r'\b(\w+\.(?:hpp|cpp))\b')
NOT_ATOMIC = 'lint: not atomic'


class Source:
    """One file as lines of code, comments apart; statements joined from the lines that they cover."""

    def __init__(self, path, text):
        self.path = path
        self.edges = {}     # tag → (line, names of partner files)
        self.uses = {}      # tag → lines
        self.problems = []
        self.unlisted = []  # (line, tag) of operations whose tag the head block does not list
        self.includes = INCLUDE.findall(text)
        self.code, self.comments = split(text)
        self.read_head(text.split('\n'))
        self.read_statements()

    def read_head(self, lines):
        tag_names, inside = [], False
        for n, line in enumerate(lines, 1):
            if not line.startswith('//'):
                break
            if re.match(r'^//\s*Edges\b', line):
                inside = True
            elif inside and re.match(r'^//\s*$', line):
                inside = False
            elif inside:
                m = LISTED.match(line)
                if m:
                    tag_names = TAG.findall(m.group(1))
                    for t in tag_names:
                        self.edges.setdefault(t, (n, set()))
                for t in tag_names:
                    self.edges[t][1].update(FILE.findall(line))

    def read_statements(self):
        start = 0
        while start < len(self.code):
            end = start
            while end + 1 < len(self.code) and not ends_statement(self.code[end]) and end - start < 12:
                end += 1
            self.check(start, end)
            start = end + 1

    def check(self, start, end):
        lines = range(start, end + 1)
        tags = {n: TAG.findall(self.comments[n]) for n in lines}
        whole = '\n'.join(self.code[start:end + 1])
        exempt = any(NOT_ATOMIC in self.comments[n] for n in lines)
        for n in lines:
            code = self.code[n]
            declares = DECLARES.match(code) and not OPERATION.search(code)
            if self.path.name not in SEAM and not declares and not exempt:
                if (ORDER.search(code) or FENCE.search(code)) and not tags[n] and not tags[end]:
                    self.say(n, 'not relaxed and without a [tag]: ' + code.strip())
                for m in OPERATION.finditer(code):
                    offset = sum(len(c) + 1 for c in self.code[start:n]) + m.end()
                    if m.group(1) not in RELAXED and not ANY_ORDER.search(arguments(whole, offset)):
                        self.say(n, f'{m.group(2)} names no order: ' + code.strip())
            for t in tags[n]:
                if code.strip():
                    self.uses.setdefault(t, []).extend([n] * (1 + bool(BOTH_ENDS.search(code))))
                    if t not in self.edges and (ORDER.search(whole) or FENCE.search(whole) or OPERATION.search(whole)):
                        self.unlisted.append((n, t))

    def say(self, n, what):
        self.problems.append(f'{self.path}:{n + 1}: {what}')


def split(text):
    """Code and comments of each line; what is in quotes is blanked."""
    code, comments, block = [], [], False
    for line in text.split('\n'):
        c, k, i = '', '', 0
        while i < len(line):
            if block:
                j = line.find('*/', i)
                k += line[i:] if j < 0 else line[i:j]
                i, block = (len(line), True) if j < 0 else (j + 2, False)
            elif line.startswith('//', i):
                k += line[i + 2:]
                break
            elif line.startswith('/*', i):
                block, i = True, i + 2
            elif line[i] == '"' or (line[i] == "'" and not (i and line[i - 1].isalnum())):
                q, j = line[i], i + 1
                while j < len(line) and line[j] != q:
                    j += 2 if line[j] == '\\' else 1
                c, i = c + q + q, j + 1
            else:
                c, i = c + line[i], i + 1
        code.append(c)
        comments.append(k)
    return code, comments


def ends_statement(code):
    code = code.strip()
    return code == '' or code.startswith('#') or code.endswith((';', '{', '}', ':'))


def arguments(text, start):
    depth, i = 1, start
    while i < len(text) and depth:
        depth += {'(': 1, ')': -1}.get(text[i], 0)
        i += 1
    return text[start:i]


def read(root):
    return [Source(p.relative_to(root), p.read_text())
            for d in ('include', 'src') for p in sorted((root / 'core' / d).rglob('*')) if p.suffix in ('.hpp', '.cpp')]


def reached(sources):
    """For each source, the sources that it includes, directly or not."""
    def find(s, name):
        folders = [s.path.parent, Path('core/src'), Path('core/include/weir')]
        return next((o for f in folders for o in sources if o.path == f / name), None)

    direct = {s: [o for o in (find(s, i) for i in s.includes) if o] for s in sources}
    closure = {}
    for s in sources:
        seen, todo = set(), [s]
        while todo:
            fresh = [o for o in direct[todo.pop()] if o not in seen]
            seen.update(fresh)
            todo += fresh
        closure[s] = seen - {s}
    return closure


def problems(sources):
    found = [p for s in sources for p in s.problems]
    below = reached(sources)
    for s in sources:
        for n, tag in s.unlisted:
            if not any(tag in o.edges for o in below[s]):
                found.append(f'{s.path}:{n + 1}: [{tag}] is not listed under Edges here or in a file that this one includes')
    for s in sources:
        for tag, (line, partners) in s.edges.items():
            users = [o for o in sources if o is s or (s in below[o] and tag not in o.edges)]
            ends = sum(len(o.uses.get(tag, [])) for o in users)
            partners = partners - {s.path.name}
            where = f'{s.path}:{line}: edge [{tag}]'
            if ends == 0:
                found.append(f'{where} is listed but no operation carries it')
            elif ends == 1 and not partners:
                found.append(f'{where} has one end; tag the other one, or name its file: [{tag}] ↔ file.hpp')
            for name in sorted(partners):
                others = [o for o in sources if o.path.name == name and o is not s]
                if not others:
                    found.append(f'{where} names {name}, which is not in core/')
                elif not any(tag in o.uses for o in others):
                    found.append(f'{where} names {name}, where no operation carries [{tag}]')
    return found


def self_test():
    good = '''// Head.
//
// Edges
//   [publish]  push's store → steal's load: the job.
//   [dekker] ↔ b.hpp: no lost wake-up.
//   [last]  one that leaves ↔ the last one.
#include <atomic>
void f() {
  x.store(1, release);  // [publish] → steal
  while (!x.compare_exchange_weak(a, b,
                                  acq_rel,
                                  relaxed)) {}  // [publish]
  A::light_fence();  // [dekker]
  n.fetch_sub(1, acq_rel);  // [last]
  x.load(relaxed);
  semaphore.release();
  slots_[h].store(v);
  slab.load();  // lint: not atomic
  const char* s = "seq_cst"; // seq_cst
}
'''
    other = '// Edges\n//   [dekker] ↔ a.hpp: the other end.\n#include "c.hpp"\nvoid g() { A::heavy_fence(); }  // [dekker]\n' \
            'void h() { x.load(acquire); }  // [split]\n'
    third = '// Edges\n//   [split]  one end is here, the other in b.hpp, which includes this.\n' \
            'void i() { x.store(1, release); }  // [split]\n'
    bad = '''// Edges
//   [one]  an end without another.
//   [gone]  nobody carries it.
//   [far] ↔ b.hpp: not there.
//   [lost] ↔ nowhere.hpp: no file.
void f() {
  x.store(1, std::memory_order_release);
  x.load(acquire);  // [unlisted]
  x.store(1,
          release);
  x.fetch_add(1);
  return y.load();
  x.load(acquire);  // [one]
  x.load(acquire);  // [far]
  x.load(acquire);  // [lost]
  A::heavy_fence();
}
'''
    expected = [(7, 'without a [tag]'), (8, 'not listed'), (10, 'without a [tag]'), (11, 'fetch_add names no order'),
                (12, 'load names no order'), (16, 'without a [tag]'), (2, 'one end'), (3, 'no operation carries it'),
                (4, 'where no operation carries'), (5, 'not in core/')]

    def run(**files):
        with tempfile.TemporaryDirectory() as d:
            for name, text in files.items():
                p = Path(d, 'core/src', name + '.hpp')
                p.parent.mkdir(parents=True, exist_ok=True)
                p.write_text(text)
            return problems(read(Path(d)))

    clean = run(a=good, b=other, c=third)
    got = run(bad=bad, b=other, a=good, c=third)
    missed = [e for e in expected if not any(f'bad.hpp:{e[0]}:' in g and e[1] in g for g in got)]
    if clean or missed or len(got) != len(expected):
        print('self test failed; false alarms:', clean, 'missed:', missed, 'got:', *got, sep='\n  ')
        return 1
    return 0


def main():
    args = [a for a in sys.argv[1:] if not a.startswith('--')]
    if '--self-test' in sys.argv[1:]:
        return self_test()
    sources = read(Path(args[0]) if args else Path(__file__).parent.parent)
    if '--edges' in sys.argv[1:]:
        for s in sources:
            for tag in s.edges:
                print(f'{s.path}  [{tag}]  ' + ' '.join(str(n + 1) for n in sorted(set(s.uses.get(tag, [])))))
        return 0
    found = problems(sources)
    for f in found:
        print(f)
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
