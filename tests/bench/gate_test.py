#!/usr/bin/env python3
"""gate.py tells a longer path from a shorter one and from the same.

  gate_test.py GATE_PY
"""
import importlib.util
import sys

spec = importlib.util.spec_from_file_location('gate', sys.argv[1])
gate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gate)

DUMP = '''# callgrind format
version: 1
pid: 1
part: 3
desc: Timerange: Basic block 0 - 7
desc: Trigger: Client Request: steal/250

events: Ir
summary: 12500

fn=(1) main
'''


def verdicts(base, now):
    lines, good = gate.compare(base, now)
    return good, '\n'.join(lines)


assert gate.counts_of(DUMP) == ('steal', 250, 12500)
assert gate.counts_of(DUMP.replace('steal/250', 'Program termination')) is None
assert gate.counts_of('') is None

assert verdicts({'a': 100}, {'a': 100}) == (True, f'{"a":20} {100:10.2f} {100:10.2f} {0:+8.2f}  ok')
assert verdicts({'a': 100}, {'a': 102})[0]                              # 2 % may be
assert not verdicts({'a': 100}, {'a': 102.1})[0]
assert verdicts({'a': 5}, {'a': 5.5})[0]                                # half an instruction may be
good, text = verdicts({'a': 5, 'b': 7}, {'a': 5.6, 'b': 7})
assert not good and 'LONGER' in text.splitlines()[0] and text.splitlines()[1].endswith('ok')
good, text = verdicts({'a': 100}, {'a': 90})
assert good and 'shorter' in text and '--renew' in text
assert not verdicts({'a': 1}, {})[0] and not verdicts({}, {'a': 1})[0]  # a path must not slip out of the gate
