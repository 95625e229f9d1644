#!/usr/bin/env python3
"""Copies the private sources of the core with mistakes built in, each behind `weir_sim_bug == N`, for bugs_test.cpp: the
simulator must find every one of them. A mistake whose place is no longer there is an error: then it, or its place, is to be
renewed.

  bugs.py SOURCES OUT DEPFILE FILE…     writes OUT/bug_FILE for each FILE, and the headers
"""
import sys
from pathlib import Path

SWITCH = '''#pragma once
#include <atomic>
extern int weir_sim_bug;
template <class Atomic, class Value>
inline Value torn_exchange(Atomic& a, Value v) {
  const Value before = a.load(std::memory_order_relaxed);
  a.store(v, std::memory_order_relaxed);
  return before;
}
'''

# number: (name, file, how often, the right text, the wrong one)
BUGS = {
    1: ('a park without its re-check', 'search.cpp', 2,
        'if (has_work(!nap)', 'if ((weir_sim_bug != 1 && has_work(!nap))'),
    2: ('a searcher that leaves without looking again', 'search.cpp', 1,
        'if (owner.idle.leave_with_work()) {', 'if (owner.idle.leave_with_work() && weir_sim_bug != 2) {'),
    3: ('a finisher that touches the job after the waiter may have left', 'fork.cpp', 1,
        'if (before.is_waiting()) c.slot(before.waiter())->bed.unpark();',
        'if (weir_sim_bug == 3) joins::finish(j.word, threw);\n'
        '  if (before.is_waiting()) c.slot(before.waiter())->bed.unpark();'),
    4: ('a finisher that looks first and writes then', 'join_state.hpp', 1,
        'return join_value(w.exchange(join_value::over(threw).bits(), release));',
        'if (weir_sim_bug == 4) return join_value(torn_exchange(w, join_value::over(threw).bits()));\n'
        '    return join_value(w.exchange(join_value::over(threw).bits(), release));'),
    5: ('a claim that looks first and writes then', 'task_state.hpp', 1,
        'while (!w.compare_exchange_weak(bits, bits | node_state::claimed, relaxed, relaxed));',
        'while (weir_sim_bug == 5 ? (torn_exchange(w, bits | node_state::claimed), false)\n'
        '                              : !w.compare_exchange_weak(bits, bits | node_state::claimed, relaxed, relaxed));'),
    6: ('a waker that tells before it has counted', 'sleeper.hpp', 1,
        '    roused_.store(true, release);', '    if (weir_sim_bug == 6) this->unpark();\n'
        '    roused_.store(true, release);\n    if (weir_sim_bug == 6) return;'),
    7: ('rest whose sums are taken in the wrong order', 'lifecycle.cpp', 1,
        '  const std::uint64_t ended = ended_sum();\n  return submitted_sum() == ended;',
        '  const std::uint64_t early = weir_sim_bug == 7 ? submitted_sum() : 0;\n'
        '  const std::uint64_t ended = ended_sum();\n'
        '  return (weir_sim_bug == 7 ? early : submitted_sum()) == ended;'),
    8: ('an entry that does not look whether the runtime has closed', 'lifecycle.cpp', 1,
        '  if (!doors_.enter()) {', '  if (!doors_.enter() && weir_sim_bug != 8) {'),
    9: ('a drain without a limit that does not hear of one with a limit', 'lifecycle.cpp', 1,
        'wait_quiescent(until, true)', 'wait_quiescent(until, weir_sim_bug != 9)'),
    10: ('a blocked submitter that sleeps without a last look', 'admission.cpp', 1,
         'if (line_.announce()) room_made();', 'if (line_.announce() && weir_sim_bug != 10) room_made();'),
    11: ('a group that wakes without a changed word', 'group_counter.hpp', 1,
         '    word_.fetch_add(1, relaxed);', '    if (weir_sim_bug != 11) word_.fetch_add(1, relaxed);'),
    12: ('a search that forgets its patience when it cannot sleep', 'search.cpp', 1,
         'if (sleep(unpaid_ >= nap_after, late)) force_at', 'if (sleep(unpaid_ >= nap_after, late) || weir_sim_bug == 12) force_at'),
    13: ('a sleeper that does not look who drains', 'search.cpp', 1,
         'bool watch = somebody_drains();', 'bool watch = weir_sim_bug != 13 && somebody_drains();'),
    14: ('a bell that is silenced although nothing was exposed', 'fork.cpp', 1,
         '  if (!forks.answer_bell()) return;', '  if (weir_sim_bug == 14 ? (forks.silence(), !forks.expose()) : !forks.answer_bell()) return;'),
    15: ('an inspector that takes the mark of the others along', 'running_list.hpp', 1,
         '    inspectors_.fetch_sub(1, release);', '    if (weir_sim_bug == 15) inspectors_.store(0, relaxed);\n    else inspectors_.fetch_sub(1, release);'),
    16: ('a stream that passes over the children of a busy task', 'worker.cpp', 1,
         'source == local_source && due &&', 'source == local_source && due && weir_sim_bug != 16 &&'),
    17: ('a worker that is let go with its mail unread', 'worker.cpp', 1,
         '== 0 && take_mail(false)) continue;', '== 0 && weir_sim_bug != 17 && take_mail(false)) continue;'),
    18: ('a worker that is let go before its mail is closed', 'threads.cpp', 1,
         '    w.mail.open(false);  // first: what was accepted for it, it runs\n    occupy(w);',
         '    if (weir_sim_bug == 18) occupy(w);\n    w.mail.open(false);\n    if (weir_sim_bug != 18) occupy(w);'),
    19: ('credits that are given back and nobody is told', 'task_node.cpp', 1,
         '    node_owner(n)->tell_blocked();', '    if (weir_sim_bug != 19) node_owner(n)->tell_blocked();'),
    20: ('a worker that sleeps over what a drain has left', 'search.cpp', 1,
         'return hoards() || owner.has_leftovers() ||', 'return (weir_sim_bug != 20 && (hoards() || owner.has_leftovers())) ||'),
    21: ('a drain that gives up and tells nobody', 'lifecycle.cpp', 1,
         '  wake_all();  // they look', '  if (weir_sim_bug != 21) wake_all();'),
    22: ('a strand whose turn ends without looking what came', 'inbox.hpp', 1,
         '      if (seen == hungry ||', '      if (weir_sim_bug == 22 ? (head_.store(hungry, relaxed), true) : seen == hungry ||'),
    24: ('a pause whose end wakes only who is among the idle', 'lifecycle.cpp', 1,
         'before the pause.\n  for (unsigned i = 0, e = slot_count(); i < e; ++i)',
         'before the pause.\n  for (unsigned i = 0, e = slot_count(); i < e && weir_sim_bug != 24; ++i)'),
    23: ('a limit that does not look what came while it was asking', 'turnstile.hpp', 1,
         '      if (inbox_.ask()) return more;', '      if (inbox_.ask() || weir_sim_bug == 23) return more;'),
    25: ('a timekeeper that looks at its word after others could change it', 'timekeeper.cpp', 1,
         '    const std::uint32_t seen = word_.load(relaxed);\n    lock.unlock();',
         '    std::uint32_t seen = word_.load(relaxed);\n    lock.unlock();\n    if (weir_sim_bug == 25) seen = word_.load(relaxed);'),
    26: ('a stop hub that links a task twice', 'stop_hub.cpp', 1,
         'if (l.next != nullptr) return;', 'if (l.next != nullptr && weir_sim_bug != 26) return;'),
    28: ('a first ticket that still claims what was tried in place', 'task_node.cpp', 1,
         'return (j.data[1] & 1) == 0 ? again : 0; }', 'return (j.data[1] & 1) == 0 && weir_sim_bug != 28 ? again : 0; }'),
    27: ('a submitter that arms what waits for another attempt', 'task_node.cpp', 1,
         '== (queued | expires); };', '== (queued | expires) || (weir_sim_bug == 27 && states::is_unstarted(n.state)); };'),
    29: ('a thread that ends with credits that are neither here nor there for a moment', 'admission.cpp', 1,
         '  l.heap.abandon();\n  l.forget_recent();\n  const std::lock_guard lock(lease_mutex_);\n',
         '  const std::uint64_t early = weir_sim_bug == 29 ? l.credits.give_up() : 0;\n'
         '  l.heap.abandon();\n  l.forget_recent();\n  const std::lock_guard lock(lease_mutex_);\n'
         '  if (early != 0) credits.give_back(early);\n'),
    30: ('a thread that goes although somebody counts on it', 'blocking_pool.cpp', 1,
         'looking_ > promised_ + queued()', '(looking_ > promised_ + queued() || weir_sim_bug == 30)'),
    31: ('a caller that looks whether the runtime has closed, and then comes in', 'admission.cpp', 1,
         'if (!doors_.enter()) return undo_entry(), outcome_of(errc::stopped);  // from here',
         'if (weir_sim_bug == 31 ? doors_.closed() || (static_cast<void>(doors_.enter()), false) : !doors_.enter())\n'
         '    return undo_entry(), outcome_of(errc::stopped);  // from here'),
    32: ('a task that is dropped and keeps its room', 'admission.cpp', 1,
         'if (j.counted()) started_elsewhere.add();\n      {',
         'if (j.counted() && weir_sim_bug != 32) started_elsewhere.add();\n      {'),
    33: ('a discarded task that never ends', 'admission.cpp', 1,
         '  ended_elsewhere[outcome_of(errc::dropped)].add();\n  tell_if_asked();\n  return',
         '  if (weir_sim_bug != 33) ended_elsewhere[outcome_of(errc::dropped)].add();\n  tell_if_asked();\n  return'),
    34: ('a restart that takes away the mark of those who wait for rest', 'threads.cpp', 1,
         'attention_.lower(attention::stop | attention::paused | attention::halted | attention::leftovers);',
         'attention_.lower(weir_sim_bug == 34 ? ~attention::blocked : attention::stop | attention::paused | attention::halted |\n'
         '                                                                attention::leftovers);'),
    35: ('a submitter that does not hold the strand that it calls', 'gate_state.cpp', 1,
         '    ~hold() { g.drop_ref(); }\n  } const until_the_end{*this};\n  add_ref();\n  for',
         '    ~hold() { if (weir_sim_bug != 35) g.drop_ref(); }\n  } const until_the_end{*this};\n  if (weir_sim_bug != 35) add_ref();\n  for'),
    36: ('a look at a backlog that takes the bit down and does not look again', 'elastic.cpp', 1,
         'if (!work_waits()) return forever;', 'if (weir_sim_bug == 36 || !work_waits()) return forever;'),
    37: ('a searcher that leaves a backlog and tells nobody', 'search.cpp', 1,
         'if (owner.elastic) [[unlikely]] owner.look_after_backlog();',
         'if (owner.elastic && weir_sim_bug != 37) [[unlikely]] owner.look_after_backlog();'),
    38: ('a worker that hides what it has claimed while nobody is free', 'worker.cpp', 1,
         'else if (owner.elastic) [[unlikely]] owner.note_if_all_are_busy();',
         'else if (owner.elastic && weir_sim_bug != 38) [[unlikely]] owner.note_if_all_are_busy();'),
    39: ('a surplus worker that goes although nobody looks', 'elastic.cpp', 1,
         '    dismiss_surplus(s);\n  }\n  look_again();', '    dismiss_surplus(s);\n  }\n  if (weir_sim_bug != 39) look_again();'),
    40: ('a pause that ends without a look', 'lifecycle.cpp', 1,
         'if (elastic) look_after_backlog();', 'if (elastic && weir_sim_bug != 40) look_after_backlog();'),
    41: ('a shutdown that ends a turn without looking what came', 'gate_state.cpp', 1,
         'if (queue_.over_if_empty()) drop_ref();', 'if (weir_sim_bug == 41 || queue_.over_if_empty()) drop_ref();'),
    42: ('an entry that is taken from the end of a list which keeps it as its last', 'turnstile.hpp', 1,
         'if (last_ == e) last_ = before;', 'if (last_ == e && (before == nullptr || weir_sim_bug != 42)) last_ = before;'),
    43: ('a task that is shed without being claimed', 'task_node.cpp', 1,
         '  if (!node_claim(n, 0, stale_if(j))) note_stale(n, -1);\n  else if (node_owner(n)->sheds',
         '  if (weir_sim_bug != 43 && !node_claim(n, 0, stale_if(j))) note_stale(n, -1);\n  else if (node_owner(n)->sheds'),
    44: ('a drain that gives up and does not tell the threads beside', 'lifecycle.cpp', 1,
         '  side.look_again();', '  if (weir_sim_bug != 44) side.look_again();'),
    45: ('a runtime that stops and leaves a turn behind', 'lifecycle.cpp', 1,
         '    if (stopped())  // a turn', '    if (stopped() && weir_sim_bug != 45)  // a turn'),
    46: ('a sweep that does not look who has stopped meanwhile', 'admission.cpp', 1,
         'if (!dead()) look_late();  // what', 'if (!dead() && weir_sim_bug != 46) look_late();  // what'),
    47: ('who looks for the oldest, and not whether somebody has stopped meanwhile', 'admission.cpp', 1,
         '    published(l);\n    look_late();', '    published(l);\n    if (weir_sim_bug != 47) look_late();'),
    48: ('a look for stalls that forgets who began while it was under way', 'timekeeper.cpp', 1,
         '  watches_stalls_ = false;\n  lock.unlock();\n  const time_point next = core_.seen->look_for_stalls();\n  if (core_.dead()) returned_in_child();\n  lock.lock();\n',
         '  if (weir_sim_bug != 48) watches_stalls_ = false;\n  lock.unlock();\n'
         '  const time_point next = core_.seen->look_for_stalls();\n  if (core_.dead()) returned_in_child();\n  lock.lock();\n'
         '  if (weir_sim_bug == 48) watches_stalls_ = false;\n'),
    49: ('a cancel that goes on when its round is over', 'task_group.cpp', 1,
         '  if (!in_round) source.request_stop();',
         '  if (weir_sim_bug == 49) cancel_unstarted(g.unbegun, g.mutex);\n  if (!in_round) source.request_stop();'),
    50: ('a cancel that fires the source of the next round', 'task_group.cpp', 1,
         '  if (!in_round) source.request_stop();',
         '  if (weir_sim_bug == 50) {\n    const std::lock_guard lock(g.mutex);\n    source = g.source;\n  }\n'
         '  if (!in_round) source.request_stop();'),
    51: ('a child that begins although its group is cancelled', 'task_group.cpp', 1,
         'const bool begins = !n.group->cancelled.load(relaxed);',
         'const bool begins = weir_sim_bug == 51 || !n.group->cancelled.load(relaxed);'),
    52: ('a turn that takes what came after a pause', 'gate_state.cpp', 1,
         'return !(paused = owner.paused());', 'return !(paused = weir_sim_bug != 52 && owner.paused());'),
    53: ('a worker that reads the mail that came after a pause', 'worker.cpp', 1,
         '[this] { return owner.paused(); }', '[this] { return weir_sim_bug != 53 && owner.paused(); }'),
    54: ('a worker that answers a call that came after a pause', 'worker.cpp', 1,
         'if (owner.paused()) return owner.put_entry_back', 'if (weir_sim_bug != 54 && owner.paused()) return owner.put_entry_back'),
    55: ('a worker whose observer has taken its token', 'search.cpp', 1,
         'if (bed.roused()) bed.unpark();', 'if (weir_sim_bug != 55 && bed.roused()) bed.unpark();'),
    56: ('a worker that sleeps over what lies in the slot', 'inject_lane.hpp', 1,
         'return !slot_.filled() && queue_.empty();', 'return (weir_sim_bug == 56 || !slot_.filled()) && queue_.empty();'),
    57: ('a job that goes to the queue while an earlier one of its thread lies in the slot', 'inject_lane.hpp', 1,
         'p.last_ == producer::slot && slot_.take_back(p.turn_, j)', 'weir_sim_bug != 57 && p.last_ == producer::slot && slot_.take_back(p.turn_, j)'),
    58: ('a job that goes ahead of its own thread\'s in the queue', 'inject_lane.hpp', 1,
         'if (!queue_.empty()) return slot_.cool(), false;', 'if (weir_sim_bug != 58 && !queue_.empty()) return slot_.cool(), false;'),
    59: ('a worker that begins something else and has not told a group of its children', 'late_ends.hpp', 1,
         'if (any() && !rules_->child_of(j, *of_)) tell();', 'if (weir_sim_bug != 59 && any() && !rules_->child_of(j, *of_)) tell();'),
    60: ('a worker that goes to look for work and has not told a group of its children', 'worker.cpp', 1,
         '    ends.tell();\n    if (claim()) continue;', '    if (weir_sim_bug != 60) ends.tell();\n    if (claim()) continue;'),
    62: ('a count of what runs that holds what has just been found not to', 'core.cpp', 1,
         '  s.running = std::min(s.running, unfinished);', '  if (weir_sim_bug != 62) s.running = std::min(s.running, unfinished);'),
    61: ('a worker that goes off duty and has not told a group of its children', 'worker.cpp', 1,
         'if (bits != 0 || off_duty) [[unlikely]] ends.tell();', 'if (bits != 0 || (weir_sim_bug != 61 && off_duty)) [[unlikely]] ends.tell();'),
}

# What freed memory looks like while one of them is built in, so that whoever still looks at it is found.
POISON = ('slab.hpp', '    auto* block = ::new (p) list::block;', '    if (weir_sim_bug != 0) __builtin_memset(p, 0xdd, h->block);\n    auto* block = ::new (p) list::block;')


def main():
    sources, out, depfile, wanted = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]
    texts = {p.name: p.read_text() for p in sources.glob('*.hpp')} | {f: (sources / f).read_text() for f in wanted}
    wrong, changed = 0, set()
    for number, (name, file, often, right, mistake) in BUGS.items():
        if texts[file].count(right) != often:
            print(f'{file}: the place of mistake {number} ({name}) is there {texts[file].count(right)} times, not {often}: '
                  f'{right}', file=sys.stderr)
            wrong += 1
        texts[file] = texts[file].replace(right, mistake)
        changed.add(file)
    file, right, poisoned = POISON
    if texts[file].count(right) != 1:
        print(f'{file}: where memory is freed is not found: {right}', file=sys.stderr)
        wrong += 1
    texts[file] = texts[file].replace(right, poisoned)
    changed.add(file)
    (out / 'weir_sim_bug.hpp').write_text(SWITCH)
    for file, text in texts.items():
        if file in changed:
            text = f'#include "weir_sim_bug.hpp"\n#line 1 "{file}"\n{text}'
        target = out / (file if file.endswith('.hpp') else f'bug_{file}')
        if not target.exists() or target.read_text() != text:  # what has not changed is not compiled again
            target.write_text(text)
    for file in wanted:
        (out / f'bug_{file}').touch()
    depfile.write_text(f'{out}/bug_{wanted[0]}: ' + ' '.join(str(sources / f) for f in sorted(texts)) + '\n')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
