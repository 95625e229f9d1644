#!/usr/bin/env python3
"""What tests/README.md says is tested is there: a table drifts as soon as a test is added, renamed or taken away.

  * Each header that a model names first, that has an order in mutants.txt, or that is a template over the atomics, has a row under
    "Primitive × kind of test", and no cell is empty or a dash.
  * Each order and fence of core/ is a mutant there, but for those of the seam itself, and so is each step of a model.
  * unit, stress: names of files there, after `through` and before a colon or a semicolon.
  * model: each model that names the header first; `prefix_… (N)` stands for N of them. More may be listed. `none: why` if there is none.
  * mutants: killed / made by tests/model/mutants.txt: the header's own lines, and the steps of the models that name it first.
  * spin: `none: why`, or a model of spin/run.py; what is in capitals is one of its mutants.
  * sim: beginnings of the names of cases; numbers in brackets are mistakes of sim/bugs.py, and each of those is in some row.
  * Numbers in the text: mutants killed and made, mistakes, mutants of the Promela models.
  * "Promise → test": names of files.

  lint-tested.py [ROOT]        check the tree
  lint-tested.py --counts      the mutants column, as it should be
  lint-tested.py --self-test   show that a wrong table is found
"""
import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path

SEAM = {'atomics.hpp', 'hooked_atomics.hpp', 'futex.hpp', 'futex.cpp'}  # what the models put Relacy in the place of
STRUCT = re.compile(r'^struct (\w+)\s*:\s*([^{;]*)\{', re.M)
STRING = re.compile(r'\b(files|steps) =((?:\s*"[^"]*")+)')
COLUMNS = ('unit', 'stress', 'model', 'mutants', 'spin', 'sim')


def models(root):
    """name → (headers, steps) of the models that run."""
    found, added = {}, set()
    for path in sorted((root / 'tests/model').glob('*_model.cpp')):
        text = path.read_text()
        added |= set(re.findall(r'^MODEL_ADD\((\w+)\)', text, re.M))
        starts = list(STRUCT.finditer(text))
        for m, after in zip(starts, starts[1:] + [None]):
            body = text[m.end():after.start() if after else len(text)]
            said = {k: ''.join(re.findall(r'"([^"]*)"', v)) for k, v in STRING.findall(body)}
            base = next((found[b] for b in re.findall(r'(\w+)<', m.group(2)) if b in found), ([], []))
            split = lambda s: [x for x in re.split(r';\s*', s) if x]
            found[m.group(1)] = (split(said['files']) if 'files' in said else base[0], split(said['steps']) if 'steps' in said else base[1])
    return {n: v for n, v in found.items() if n in added}


def mutants(root):
    """header or step → [killed, made]"""
    counts = {}
    for line in (root / 'tests/model/mutants.txt').read_text().splitlines():
        if line.startswith('#'):
            continue
        killed, key = line.split('\t')[:2]
        what = key[6:] if key.startswith('drop  ') else key.split('  ')[0]
        n = counts.setdefault(what, [0, 0])
        n[0] += killed == 'killed'
        n[1] += 1
    return counts


def count_of(header, all_models, counts):
    """A step belongs to the first model that lists it."""
    total, owner = list(counts.get(header, (0, 0))), {}
    for files, steps in all_models.values():
        for s in steps:
            owner.setdefault(s, files[0])
    for step, first in owner.items():
        if first == header:
            total = [a + b for a, b in zip(total, counts.get(step, (0, 0)))]
    return total


def promela(root):
    spec = importlib.util.spec_from_file_location('spin_run', root / 'tests/model/spin/run.py')
    sys.dont_write_bytecode = True
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    return {model: set(run.MUTANTS[model]) for model in run.RIGHT}


def unweakened(root, all_models):
    """What tools/mutants would weaken, or leave out, and mutants.txt does not know."""
    loader = importlib.machinery.SourceFileLoader('weir_mutants', str(root / 'tools/mutants'))
    tool = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(tool)
    known = {l.split('\t')[1] for l in (root / 'tests/model/mutants.txt').read_text().splitlines() if not l.startswith('#')}
    there = {k for d in ('include', 'src') for p in (root / 'core' / d).rglob('*') if p.suffix in ('.hpp', '.cpp') and p.name not in SEAM
             for k, _ in tool.mutants_of(p)} | {f'drop  {s}' for _, steps in all_models.values() for s in steps}
    return [f'{k}: not in mutants.txt; tools/mutants --only renews it' for k in sorted(there - known)] + \
           [f'{k}: in mutants.txt, but no longer there' for k in sorted(known - there)]


def over_the_seam(root):
    """Headers whose atomics a model could replace."""
    return {p.name for d in ('include', 'src') for p in (root / 'core' / d).rglob('*.hpp')
            if p.name not in SEAM and re.search(r'\btypename A::template atomic<', p.read_text())}


def rows(text, heading):
    part = text.split('\n## ' + heading + '\n')[1].split('\n## ')[0]
    lines = re.search(r'(?:^\|.*\n)+', part, re.M).group().strip().split('\n')[2:]
    return [[c.strip() for c in l.strip('|').split('|')] for l in lines]


def names(cell):
    """What a cell of unit or stress lists, without the words around it."""
    cell = re.split(r'[:;]', re.sub(r'^through ', '', cell))[0]
    return [n.strip() for n in cell.split(',') if n.strip()]


def problems(root):
    found = []
    text = (root / 'tests/README.md').read_text()
    unit = {p.name[:-len('_test.cpp')] for p in (root / 'tests/unit').glob('*_test.cpp')}
    stress = {p.name[:-len('_stress.cpp')] for p in (root / 'tests/stress').glob('*_stress.cpp')}
    all_models, counts, spin = models(root), mutants(root), promela(root)
    cases = re.findall(r'^    CASE\w*\((\w+)\)', (root / 'tests/sim/cases.cpp').read_text(), re.M)
    bugs = {int(n) for n in re.findall(r'^    (\d+): \(', (root / 'tests/sim/bugs.py').read_text(), re.M)}
    first = {}
    for name, (files, _) in all_models.items():
        first.setdefault(files[0], []).append(name)
    seen, bugs_seen = set(), set()
    for row in rows(text, 'Primitive × kind of test'):
        header = re.match(r'\w+', row[0]).group() + '.hpp'
        cells = dict(zip(COLUMNS, row[1:]))
        wrong = lambda column, what: found.append(f'{row[0]}, {column}: {what}')
        seen.add(header)
        for column in COLUMNS:
            if cells.get(column, '') in ('', '–', '-', '?'):
                wrong(column, 'nothing')
                cells[column] = 'none: said above'
        for column, there in (('unit', unit), ('stress', stress)):
            if not cells[column].startswith('none: ') and cells[column] != 'none: said above':
                for n in names(cells[column]):
                    if n not in there:
                        wrong(column, f'no test {n}')
        listed = set()
        listed_models = '' if cells['model'].startswith('none: ') else re.sub(r'; in .*', '', cells['model'])
        for n, many in re.findall(r'\b(\w+)(?:… \((\d+)\))?', listed_models):
            if many:
                match = [m for m in first.get(header, []) if m.startswith(n)]
                if len(match) != int(many):
                    wrong('model', f'{len(match)} models begin with {n}, not {many}')
                listed |= set(match)
            elif n in all_models:
                if header not in all_models[n][0]:
                    wrong('model', f'{n} does not name {header}')
                listed.add(n)
            else:
                wrong('model', f'no model {n}')
        for n in first.get(header, []):
            if n not in listed:
                wrong('model', f'{n} is missing')
        killed, made = count_of(header, all_models, counts)
        said = re.match(r'(\d+) / (\d+)$', cells['mutants'])
        if said and (killed, made) != tuple(map(int, said.groups())) or not said and (made or not cells['mutants'].startswith('no order')):
            wrong('mutants', f'{killed} / {made}')
        if not cells['spin'].startswith('none: '):
            model = re.match(r'\w+', cells['spin']).group()
            if model not in spin:
                wrong('spin', f'no model {model}')
            for n in re.findall(r'(?<!-D)\b[A-Z]+(?:_[A-Z]+)+\b', cells['spin']):
                if not any(n in m for m in spin.values()):
                    wrong('spin', f'no mutant {n}')
        plain = re.sub(r'\([\d, ]*\)', '', cells['sim'].split(';')[0])
        for n in (x.strip().rstrip('…') for x in plain.split(',')):
            if n != 'all cases' and not any(c.startswith(n) for c in cases):
                wrong('sim', f'no case {n}')
        for n in (int(x) for b in re.findall(r'\(([\d, ]+)\)', cells['sim']) for x in b.split(',')):
            bugs_seen.add(n)
            if n not in bugs:
                wrong('sim', f'no mistake {n}')
    found += unweakened(root, all_models)
    found += [f'{h}: under model, but without a row' for h in sorted((set(first) | {k for k in counts if k.endswith('.hpp')}) - seen)]
    found += [f'{h}: a template over the atomics, but without a row' for h in sorted(over_the_seam(root) - seen)]
    found += [f'mistake {n} of sim/bugs.py is in no row' for n in sorted(bugs - bugs_seen)]
    killed, made = (sum(n[i] for n in counts.values()) for i in (0, 1))
    for what, wanted in ((r'(\d+ of \d+) mutants are killed', f'{killed} of {made}'), (r'and (\d+) mistakes that it must find', str(len(bugs))),
                         (r'and (\d+) mutants of them', str(sum(map(len, spin.values()))))):
        said = re.search(what, text)
        if not said or said.group(1) != wanted:
            found.append(f'tests/README.md: "{what}": it should be {wanted}')
    for row in rows(text, 'Promise → test'):
        for column, cell, there in (('unit', row[1], unit), ('stress', row[2], stress)):
            found += [f'{row[0]}, {column}: no test {n}' for n in names(cell) if n != '–' and n not in there]
    return found


def self_test(root):
    readme = root / 'tests/README.md'
    text = readme.read_text()
    bad = [('| parker | parker |', '| parker | parked |', 'no test parked'), ('| parker | parker | park |', '| parker | parker | |', 'stress: nothing'),
           ('parker_token', 'parker_tocken', 'parker_token is missing'), ('(LIGHT_SHUT)', '(LIGHT_SHOT)', 'no mutant LIGHT_SHOT'),
           ('| slab |', '| slob |', 'slab.hpp: under model'), ('| codel (', '| kodel (', 'codel.hpp: a template'), ('one_place', 'no_place', 'no case no_place'),
           ('mutants are killed', 'mutants are dead', 'it should be')]
    missed = []
    for right, wrong, expected in bad:
        if right not in text:
            missed.append(f'not in the table: {right}')
            continue
        try:
            Path.read_text, original = lambda p, *a, **k: text.replace(right, wrong) if p.name == 'README.md' else original(p, *a, **k), Path.read_text
            got = problems(root)
        finally:
            Path.read_text = original
        if not any(expected in g for g in got):
            missed.append(expected)
    if missed:
        print('self test failed; missed:', *missed, sep='\n  ')
    return 1 if missed else 0


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith('--')]
    root = Path(arguments[0] if arguments else Path(__file__).parent.parent).resolve()
    if '--self-test' in sys.argv[1:]:
        return self_test(root)
    if '--counts' in sys.argv[1:]:
        all_models, counts = models(root), mutants(root)
        for header in sorted({f[0] for f, _ in all_models.values()} | {k for k in counts if k.endswith('.hpp')}):
            killed, made = count_of(header, all_models, counts)
            print(f'{header:20} {killed} / {made}   ' + ', '.join(n for n, v in all_models.items() if v[0][0] == header))
        return 0
    found = problems(root)
    for f in found:
        print(f)
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
