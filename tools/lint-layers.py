#!/usr/bin/env python3
"""Includes go down: a file of core/ includes no file of a higher layer, and nothing in a circle.

  lint-layers.py [ROOT]        check the tree
  lint-layers.py --self-test   show that a bad tree is found
"""
import re
import sys
import tempfile
from pathlib import Path

# The one place that says which file is in which layer: the stem of its name decides, for .hpp and .cpp alike, unless the
# full name is there too. Within a layer a file may include its neighbours. core/README.md draws the same picture.
LAYERS = {
    0: 'platform atomics hooked_atomics error options metrics futex throw topology topology_hwloc system sim_atomics',
    1: 'job gate_entry resumption slab free_list task_node child_node task_state join_state timer_entry references retry_terms presence set_once',
    2: 'split_deque run_queue inject_queue express_slot inject_lane inbox timer_wheel',
    3: 'idle parker sleeper follower credits quiescence entry_list group_counter running_list runner room turnstile counter slot_table '
       'crew doors attention mailbox duty leader waiting_line aftermath backlog_evidence append_list codel',
    # A core and its workers know each other: one layer.
    5: 'worker late_ends search fork core dependant gate gate_state diagnose admission submit.cpp lifecycle threads elastic stop_hub blocking_pool '
       'timekeeper node_conditions queue_time observation',
    6: 'submit task_node.cpp task_wait executor join_handle runtime fork_join fork_each parallel siblings task_group timer strand limited task graph '
       'pipeline result_stream retry blocking coroutine',
    7: 'weir sim prometheus trace c_api durable',
}
QUEUE_OWNER = 'inject_queue.hpp'  # the only file that may name moodycamel's queue

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<(weir/[^>]+)>)', re.M)
COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/', re.S)
RANK = {name: layer for layer, names in LAYERS.items() for name in names.split()}


def layer(path):
    return RANK.get(path.name, RANK.get(path.stem))


def problems(root):
    core = root / 'core'
    files = sorted(p for d in ('include', 'src') for p in (core / d).rglob('*') if p.suffix in ('.hpp', '.cpp', '.h'))
    found, edges = [], {}
    for path in files:
        name = path.relative_to(root)
        code = COMMENT.sub('', path.read_text())
        said = re.search(r'^//.*\bLayer (\d)[.:;]', path.read_text().split('#pragma')[0], re.M)
        if layer(path) is None:
            found.append(f'{name}: in no layer; add it to LAYERS in tools/lint-layers.py')
        elif said and int(said.group(1)) != layer(path):
            found.append(f'{name}: says layer {said.group(1)}, but LAYERS in tools/lint-layers.py says {layer(path)}')
        if re.search(r'moodycamel|concurrentqueue|WEIR_CQ_HEADER', code) and path.name != QUEUE_OWNER:
            found.append(f'{name}: only {QUEUE_OWNER} names the inject queue\'s library')
        edges[path] = []
        for m in INCLUDE.finditer(code):
            quoted, public = m.groups()
            line = code.count('\n', 0, m.start(0)) + 1
            if quoted:
                target = next((t for t in ((path.parent / quoted), (core / 'src' / quoted)) if t.is_file()), None)
            else:
                target = core / 'include' / public
            if target is None or not target.is_file():
                found.append(f'{name}:{line}: includes {quoted or public}, which is not in core/')
                continue
            target = target.resolve()
            if 'include' in path.relative_to(core).parts[:1] and 'src' in target.relative_to(core.resolve()).parts[:1]:
                found.append(f'{name}:{line}: a public header includes the private {target.name}')
            if None not in (layer(path), layer(target)) and layer(target) > layer(path):
                found.append(f'{name}:{line}: layer {layer(path)} includes {target.name} of layer {layer(target)}')
            edges[path].append(target)
    return found + circles({p.resolve(): e for p, e in edges.items()}, root.resolve())


def circles(edges, root):
    state, found = {}, []

    def visit(node, trail):
        if state.get(node) == 'done':
            return
        if node in trail:
            found.append('circle: ' + ' → '.join(str(n.relative_to(root)) for n in trail[trail.index(node):] + [node]))
            return
        for target in edges.get(node, []):
            visit(target, trail + [node])
        state[node] = 'done'

    for node in edges:
        visit(node, [])
    return found


def self_test():
    bad = {
        'core/include/weir/error.hpp': '#include <weir/options.hpp>\n',
        'core/include/weir/options.hpp': '#include <weir/error.hpp>\n',
        'core/include/weir/detail/platform.hpp': '#include <weir/runtime.hpp>\n// <weir/nothing.hpp>\n',
        'core/include/weir/runtime.hpp': '#include "core.hpp"\n',
        'core/src/slab.hpp': '// Memory. Layer 3.\n',
        'core/src/core.hpp': 'moodycamel::ConcurrentQueue<int> q;\n',
        'core/src/inject_queue.hpp': '#include <concurrentqueue/concurrentqueue.h>\n#include "nowhere.hpp"\n',
        'core/src/nobody.hpp': '',
    }
    expected = ['circle: core/include/weir/error.hpp → core/include/weir/options.hpp → core/include/weir/error.hpp',
                'layer 0 includes runtime.hpp of layer 6', 'a public header includes the private core.hpp',
                'slab.hpp: says layer 3, but', 'core.hpp: only inject_queue.hpp names', 'nobody.hpp: in no layer', 'includes nowhere.hpp, which is not']
    with tempfile.TemporaryDirectory() as d:
        for name, text in bad.items():
            p = Path(d, name)
            p.parent.mkdir(parents=True, exist_ok=True)
            p.write_text(text)
        got = problems(Path(d))
    missed = [e for e in expected if not any(e in g for g in got)]
    if missed or len(got) != len(expected):
        print('self test failed; missed:', missed, 'got:', *got, sep='\n  ')
        return 1
    return 0


def main():
    if '--self-test' in sys.argv[1:]:
        return self_test()
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent
    found = problems(root)
    for f in found:
        print(f)
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
