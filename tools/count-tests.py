#!/usr/bin/env python3
"""Counts what a `meson test` run said, single gtest cases and TAP points included.

  count-tests.py BUILD LOGBASE [ALLOWED_SKIPS]

Prints "PASSED FAILED SKIPPED"; names what failed or was skipped on stderr. With CI=true a skip whose name does not
match a line of the file ALLOWED_SKIPS (a regular expression each) counts as failed. A skip's reason is named with it.
"""
import json
import os
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

logs = Path(sys.argv[1], 'meson-logs')
base = sys.argv[2]
allowed = []
if len(sys.argv) > 3:
    allowed = [line.split('#')[0].strip() for line in Path(sys.argv[3]).read_text().split('\n')]
    allowed = [re.compile(a) for a in allowed if a]

# The cases inside each test: meson names the suites of its JUnit file PROJECT.TEST[.GTEST_SUITE].
inner = []
junit = logs / f'{base}.junit.xml'
if junit.exists():
    for suite in xml.parse(junit).getroot().iter('testsuite'):
        for case in suite.iter('testcase'):
            kind = 'failed' if case.find('failure') is not None or case.find('error') is not None else \
                'skipped' if case.find('skipped') is not None or case.get('status') == 'notrun' else 'passed'
            skip = case.find('skipped')
            why = '' if skip is None else ' '.join((skip.get('message') or skip.text or '').split('\n')[1:]).strip()
            inner.append((suite.get('name') + '.', kind, case.get('name', ''), why))

outcome = {'OK': 'passed', 'EXPECTEDFAIL': 'passed', 'SKIP': 'skipped'}
cases = []
for line in (logs / f'{base}.json').read_text().split('\n'):
    if not line.strip():
        continue
    test = json.loads(line)
    name = test['name'].split(' / ')[-1]
    verdict = outcome.get(test['result'], 'failed')
    whole = f'.{test["name"]}.'
    mine = [(kind, f'{name}: {suite.split(whole)[1]}{case}' + (f': {why}' if why else ''))
            for suite, kind, case, why in inner if whole in suite]
    if not mine and verdict == 'failed':  # gtest writes its report at the end: after a crash there is only its output
        said = test.get('stdout', '')
        mine = [('passed', f'{name}: {case}') for case in re.findall(r'^\[       OK \] (\S+)', said, re.M)]
        mine += [('failed', f'{name}: {case}') for case in re.findall(r'^\[  FAILED  \] (\S+\.\S+) \(', said, re.M)]
        started = re.findall(r'^\[ RUN      \] (\S+)', said, re.M)
        if len(started) > len(mine):
            mine.append(('failed', f'{name}: {started[-1]} did not end ({test["result"].lower()}); nothing after it ran'))
    if not mine or (verdict == 'failed' and not any(kind == 'failed' for kind, _ in mine)):
        mine.append((verdict, f'{name} ({test["result"].lower()})' if verdict != 'passed' else name))
    cases += mine

count = {'passed': 0, 'failed': 0, 'skipped': 0}
for kind, name in cases:
    if kind == 'skipped' and os.environ.get('CI') == 'true' and not any(a.search(name) for a in allowed):
        kind, name = 'failed', name + ': skipped, which is not allowed under CI'
    count[kind] += 1
    if kind != 'passed':
        print(f'{kind}: {name}', file=sys.stderr)
print(count['passed'], count['failed'], count['skipped'])
