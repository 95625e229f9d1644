#!/usr/bin/env python3
"""What the compiler makes of a fork and a join, and of the operations of the fork deque.

  disassembly.py [--must] ROOT x86_64|aarch64 OBJDUMP COMPILER...

--must: a missing tool is a failure, not a skip.

Compiles probes.cpp at -O2 and -O3, disassembles it and cuts it into basic blocks.

The fast path of a fork is found, not assumed: from the entry of the function, every block that can be reached without a
call, except calls of the program's own functions (the leaf, the recursion). A call of anything else is where weir leaves
its fast path; the blocks behind it, and a part of the function that the compiler put into a cold section, count only if
they are reached in another way, too. Nothing else is left out: the serial path (no worker) and the path that pushes, pops
and returns are both in it. That it is the right path is checked: it must read the thread's worker, lead to calls of
fork_slow and of join_slow that it does not take, and reach a return from each of the two branches.

  x86-64   no lock prefix, no xchg with memory (locked without saying so) and no fence on the fast path; the thief's
           operations do hold locked ones, so that the test would see them.
  aarch64  on the fast path exactly the store-releases that push and pop ask for, no barrier, no exclusive and no LSE access;
           in each operation of the deque the acquire and release instructions that its source asks for (the orders are read
           from split_deque.hpp), with exclusives, LSE and out-of-line atomics.

Then builds that are wrong on purpose (bad_seam.hpp): each must be noticed.
"""
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

must = sys.argv[1] == '--must'
root, arch, objdump, *compiler = sys.argv[2 if must else 1:]
root = Path(root)
sys.path.insert(0, str(root / 'tests/support'))
from compiler import tap  # noqa: E402

missing = [tool for tool in (objdump, compiler[0]) if shutil.which(tool) is None]
if arch not in ('x86_64', 'aarch64'):
    missing.append(f'a reader of {arch} code')
if missing and must:
    print(f'1..1\nnot ok 1 - tools are there\n# missing: {", ".join(missing)}')
    sys.exit(1)
if missing:
    print(f'1..0 # SKIP missing: {", ".join(missing)}')
    print(f'skipped: the disassembly of {arch}: missing {", ".join(missing)}', file=sys.stderr)
    sys.exit(0)

here = root / 'tests/disassembly'
own = {'leaf', 'probe_tree'}  # calls that are the program's
scratch = tempfile.TemporaryDirectory()


class Instruction:
    def __init__(self, address, text):
        self.address, self.text, self.symbol = address, text, None
        # objdump prints prefixes as words of their own.
        words = text.split()
        self.prefixes = []
        while words and words[0] in ('lock', 'rep', 'repz', 'repnz', 'bnd', 'notrack', 'cs', 'ds', 'data16'):
            self.prefixes.append(words.pop(0))
        self.name = words[0] if words else ''
        self.operands = ' '.join(words[1:])

    def target(self):
        """Where a jump within the function goes; None when a relocation takes it elsewhere."""
        if self.symbol is not None:
            return None
        found = re.search(r'\b([0-9a-f]+) <', self.operands)
        return int(found.group(1), 16) if found else None

    def is_call(self):
        return self.name.startswith('call') if arch == 'x86_64' else self.name in ('bl', 'blr')

    def is_return(self):
        return self.name.startswith('ret')

    def is_jump(self):
        return self.name == 'jmp' if arch == 'x86_64' else self.name in ('b', 'br')

    def is_branch(self):
        if arch == 'x86_64':
            return self.name.startswith('j') and self.name != 'jmp'
        return self.name.startswith('b.') or self.name in ('cbz', 'cbnz', 'tbz', 'tbnz')

    def called(self):
        """The plain name of what it calls or jumps to; mangled names are searched for ours."""
        name = self.symbol or (re.search(r'<([^>+]+)', self.operands) or [None, '?'])[1]
        for known in ('fork_slow', 'join_slow', 'heavy_fence'):
            if known in name:
                return known
        return name


done_once = {}
guard = threading.Lock()


def disassemble(*flags):
    """The functions in what these flags make: facts run side by side, and some share their flags."""
    with guard:
        lock, answer = done_once.setdefault(flags, (threading.Lock(), []))
    with lock:
        if not answer:
            answer.append(disassembled(*flags))
    return answer[0]


def disassembled(level, *flags):
    out = Path(scratch.name, '_'.join([level, *flags]).replace('/', '_').replace('"', '') + '.o')
    done = subprocess.run(compiler + ['-std=c++20', '-pthread', '-DNDEBUG', level, *flags, f'-I{root}/core/include', '-c',
                                      str(here / 'probes.cpp'), '-o', str(out)],
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise RuntimeError('does not compile:\n' + done.stdout)
    text = subprocess.run([objdump, '-drw', '--no-show-raw-insn', str(out)], text=True, check=True,
                          stdout=subprocess.PIPE).stdout
    functions, current = {}, None
    for line in text.split('\n'):
        if head := re.match(r'^[0-9a-f]+ <(.+)>:$', line):
            current = functions.setdefault(head.group(1), [])
        elif code := re.match(r'^\s+([0-9a-f]+):\s+(.*\S)\s*$', line):
            # With -w a relocation stands behind its instruction: "ADDRESS: R_TYPE SYMBOL+0xADDEND".
            body, *reloc = re.split(r'\s[0-9a-f]+: R_\w+\s+', code.group(2))
            instruction = Instruction(int(code.group(1), 16), ' '.join(re.sub(r'\s+(#|//) .*$', '', body).split()))
            if reloc:
                symbol = re.sub(r'[-+]0x[0-9a-f]+$', '', reloc[0])
                if instruction.is_call() or instruction.is_jump() or instruction.is_branch():
                    instruction.symbol = symbol
                else:
                    instruction.text += '  ' + symbol
            current.append(instruction)
    return functions


class Flow:
    """The blocks of a function, by first address: their instructions and successors."""

    def __init__(self, code):
        starts = {code[0].address}
        for i, ins in enumerate(code):
            jumps = ins.is_jump() or ins.is_branch() or ins.is_return() or ins.is_call()
            if jumps and i + 1 < len(code):
                starts.add(code[i + 1].address)
            if (ins.is_jump() or ins.is_branch()) and ins.target() is not None:
                starts.add(ins.target())
        self.entry, self.blocks, self.next = code[0].address, {}, {}
        block = None
        for ins in code:
            if ins.address in starts:
                block = self.blocks.setdefault(ins.address, [])
            block.append(ins)
        order = sorted(self.blocks)
        for start, after in zip(order, order[1:] + [None]):
            last, to = self.blocks[start][-1], []
            if (last.is_jump() or last.is_branch()) and last.target() in self.blocks:
                to.append(last.target())
            if not last.is_jump() and not last.is_return() and after is not None:
                to.append(after)
            self.next[start] = to

    def leaves(self, start):
        """What a block calls or jumps to outside of the function; None when it stays, or calls the program's own."""
        last = self.blocks[start][-1]
        if last.is_call() and last.called() not in own:
            return last.called()
        if last.is_jump() and last.target() not in self.blocks:
            return last.called() if last.called() not in own else None
        return None

    def reach(self, start):
        """The blocks that can be reached without leaving; those that leave are not among them."""
        seen, todo = set(), [start]
        while todo:
            at = todo.pop()
            if at in seen or self.leaves(at) is not None:
                continue
            seen.add(at)
            todo += self.next[at]
        return seen


def fast_path(functions, name):
    """Instructions of the fast path of a function that forks, after the checks that it is one."""
    flow = Flow(functions[name])
    fast = flow.reach(flow.entry)
    text = [ins for start in sorted(fast) for ins in flow.blocks[start]]
    if not any('this_worker' in ins.text for ins in text):
        raise RuntimeError(f'{name}: the fast path does not read this_worker')

    def leads_to(start, what, seen=None):
        # Through blocks that are not on the fast path only: the straight way to the slow call.
        seen = seen or set()
        if start in fast or start in seen:
            return False
        seen.add(start)
        if flow.leaves(start) == what:
            return True
        return flow.leaves(start) is None and any(leads_to(n, what, seen) for n in flow.next[start])

    for what in ('fork_slow', 'join_slow'):
        beside = [s for s in fast if any(leads_to(n, what) for n in flow.next[s])]
        # A branch to a cold section: its blocks are another function to objdump.
        for s in fast:
            last = flow.blocks[s][-1]
            if last.is_branch() and last.target() is None:
                cold = functions.get(name + '.cold', [])
                if any(i.is_call() and i.called() == what for i in cold):
                    beside.append(s)
        if not beside:
            raise RuntimeError(f'{name}: the fast path does not branch to {what}')
        for s in beside:
            if not any(ins.is_return() for b in flow.reach(s) for ins in flow.blocks[b]) and not any(
                    flow.blocks[b][-1].is_jump() and flow.blocks[b][-1].called() in own for b in flow.reach(s)):
                raise RuntimeError(f'{name}: no return behind the branch to {what}')
    return text


def locked(ins):
    if 'lock' in ins.prefixes or ins.name in ('mfence', 'lfence', 'sfence'):
        return True
    return ins.name.startswith('xchg') and '(' in ins.operands or 'xchg' in ins.name and '%fs:' in ins.operands


ordered = re.compile(r'^(ld|st)(l?a|l)?x[rp]?|^ldx|^stx|^ldax|^stlx|^cas|^swp|^ld(add|set|clr|eor|smax|smin|umax|umin)|^st(add|set|clr|eor)')


def shared(ins):  # exclusive, LSE, or out-of-line atomics
    return bool(ordered.match(ins.name)) or (ins.is_call() and '__aarch64_' in ins.called())


def report(name, bad):
    return '\n'.join([f'{name}:'] + [f'  {i.address:x}: {i.text}' for i in bad]) if bad else None


# ---- x86-64 ------------------------------------------------------------------------------------------------------

def forks_are_free(functions):
    for name in ('probe_fork', 'probe_tree'):
        if bad := [i for i in fast_path(functions, name) if locked(i)]:
            return report(name, bad)
    for name in ('probe_push', 'probe_pop'):
        if bad := [i for i in functions[name] if locked(i) or i.is_call()]:
            return report(name, bad)
    return None


def slow_ones_lock(functions):
    for name in ('probe_steal', 'probe_force', 'probe_reclaim', 'probe_expose', 'probe_full_fence'):
        # Where the compiler kept a function of the deque out of line, the probe is a jump to it.
        if not any(locked(i) for i in with_callees(functions, name)):
            return f'{name} holds no locked instruction'
    return None


def with_callees(functions, name, seen=None):
    seen = seen if seen is not None else set()
    if name in seen or name not in functions:
        return []
    seen.add(name)
    code = list(functions[name])
    for i in functions[name]:
        if i.is_call() or i.is_jump():
            code += with_callees(functions, i.called(), seen)
    return code


# ---- aarch64 -----------------------------------------------------------------------------------------------------

deque = (root / 'core/include/weir/detail/split_deque.hpp').read_text()
operations = ('push', 'pop', 'steal', 'force', 'reclaim', 'expose', 'close')


def asked_for(operation):
    """What the source of an operation asks of the machine: its orders that are more than relaxed."""
    start = re.search(rf'\b(?:bool|void|steal_outcome) {operation}\([^;]*?\) noexcept {{', deque)
    depth, end = 1, start.end()
    while depth:
        depth += {'{': 1, '}': -1}.get(deque[end], 0)
        end += 1
    body = re.sub(r'//[^\n]*', '', deque[start.end():end])
    asked = ['load acquire' for order in re.findall(r'\.load\((\w+)\)', body) if order in ('acquire', 'seq_cst')]
    asked += ['store release' for order in re.findall(r'\.store\(.*, (\w+)\);', body) if order in ('release', 'seq_cst')]
    for success, failure in re.findall(r'\.compare_exchange_\w+\(.*?, (\w+), (\w+)\)\)', body):
        if success in ('release', 'acq_rel', 'seq_cst'):
            asked.append('cas release')
        if {success, failure} & {'acquire', 'acq_rel', 'seq_cst'}:
            asked.append('cas acquire')
    return asked


GIVES = {
    'load acquire': r'ldap?r',
    'store release': r'stlu?r',
    'cas release': r'stlxr|casa?l|__aarch64_cas\d_(acq_)?rel',
    'cas acquire': r'ldaxr|casal?|__aarch64_cas\d_acq(_rel)?',
}


def gives(code, wish):
    return [i for i in code if re.fullmatch(GIVES[wish], i.called() if i.is_call() else i.name)]


def forks_only_release(functions):
    wanted = [*asked_for('push'), *asked_for('pop')]
    if set(wanted) != {'store release'}:
        return f'push and pop ask for {wanted}'
    for name in ('probe_fork', 'probe_tree'):
        path = fast_path(functions, name)
        if bad := [i for i in path if i.name in ('dmb', 'dsb') or shared(i)]:
            return report(name, bad)
        if len(stores := gives(path, 'store release')) != len(wanted):
            return f'{name}: {len(wanted)} store-releases were asked for, found {len(stores)}'
    return None


def orders_are_there(functions):
    wrong = []
    for operation in operations:
        code = with_callees(functions, 'probe_' + operation)
        wanted = asked_for(operation)
        if not wanted:
            wrong.append(f'{operation}: found no order in its source, so nothing was compared')
        for wish in set(wanted):
            if len(gives(code, wish)) < wanted.count(wish):
                wrong.append(f'{operation}: {wanted.count(wish)} {wish} asked for, not in: {" ".join(sorted({i.called() if i.is_call() else i.name for i in code}))}')
    if not any(i.name == 'dmb' for i in functions['probe_full_fence']):
        wrong.append('the full fence is no dmb')
    return '\n'.join(wrong) or None




# ---- facts -------------------------------------------------------------------------------------------------------

def fact(check, *flags):
    def run():
        try:
            return check(disassemble(*flags))
        except RuntimeError as e:
            return str(e)
    return run


def noticed(check, *flags):
    def run():
        try:
            wrong = check(disassemble(*flags))
        except RuntimeError as e:
            return f'not compared: {e}'
        return None if wrong else 'a build that is wrong on purpose was not noticed'
    return run


def bad(which):
    return ['-DWEIR_SEAM="' + str(here / 'bad_seam.hpp') + '"', f'-DWEIR_BAD={which}']


facts = []
for level in ('-O2', '-O3'):
    if arch == 'x86_64':
        facts.append((f'{level}: a fork and join holds no locked instruction and no fence', fact(forks_are_free, level)))
        facts.append((f'{level}: thieves, reclaim and expose do', fact(slow_ones_lock, level)))
        for which in ('full_fence', 'std_fence', 'seq_cst_store', 'counted'):
            facts.append((f'{level}: a fork with {which} is noticed', noticed(forks_are_free, level, *bad(which))))
    else:
        inline = ['-march=armv8-a', '-mno-outline-atomics']
        for march in (inline, ['-march=armv8.1-a'], ['-march=armv8-a', '-moutline-atomics']):
            label = f'{level} {" ".join(march)}'
            facts.append((f'{label}: a fork and join holds its store-releases and no barrier', fact(forks_only_release, level, *march)))
            facts.append((f'{label}: acquire and release are where the orders ask for them', fact(orders_are_there, level, *march)))
        for which in ('full_fence', 'std_fence', 'seq_cst_store', 'counted', 'relaxed'):
            facts.append((f'{level}: a fork with {which} is noticed', noticed(forks_only_release, level, *inline, *bad(which))))
        facts.append((f'{level}: orders that were dropped are noticed', noticed(orders_are_there, level, *inline, *bad('relaxed'))))
sys.exit(tap(facts))
