/* Rest and shutdown: core/src/lifecycle.cpp (begin_close, wait_quiescent, check_quiescent, hand_off, run_entry, flush),
 * credits.hpp (try_use, settle, shut, seal) and the ends that workers count. Edges [quiesce] [done] [recall] [close]
 * [orphan]. How a worker is woken for a job is park.pml's matter: here a job in a queue wakes whoever sleeps.
 *
 * An outside thread submits; its first task submits a child. What ends the runtime, one of:
 *   default   drain() from outside               -DABORT   abort(): the queues are emptied
 *   -DORPHAN  the first task destroys the runtime: the workers drain by themselves
 * and besides, one of:  -DIDLER  somebody waits in wait_idle() as well        -DENTRY  somebody calls run()
 *
 * Safety: once drain has returned, all that was accepted has ended, and nothing is accepted any more.
 * Liveness: whoever waits for rest returns. At the end nobody is asked to tell of it.
 *
 * Mutants, -DM_…:
 *   SUBMITS_FIRST  sums the submits before the ends     LIGHT_END    no fence between an end and the look for a waiter
 *   LIGHT_WAIT     waits without the heavy fence        LIGHT_SHUT   shuts the leases without the heavy fence
 *   LATE_SEEN      reads the word after the sums       LIGHT_ORPHAN hand_off without the heavy fence (ORPHAN)
 *   BLIND_LOWER    lowers the bit and does not look who came meanwhile (IDLER)
 *   LIGHT_LOWER    looks, but behind a light fence (IDLER)
 *   STALE_BIT      raises it again for somebody who has gone meanwhile (IDLER)
 *   KEEP_TO_ONESELF  sees rest and does not tell those who wait, too (IDLER)
 *   LATE_COUNT     run() looks whether it is closed before it counts itself (ENTRY)
 *   SILENT_UNDO    run() takes its count back and tells nobody (ENTRY)
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef TASKS
#define TASKS 1
#endif
#define SUBMITTER WORKERS
#define CLOSER (WORKERS + 1)
#define OTHER (WORKERS + 2)                 /* who waits for rest, or calls run() */
#if defined(IDLER) || defined(ENTRY)
#define THREADS (WORKERS + 3)
#else
#define THREADS (WORKERS + 2)
#endif

#define USED 0                              /* the lease: credits used */
#define LIMIT 1                             /* the lease: 0 is the trap */
#define TAIL 2                              /* jobs in the inject queue so far */
#define CHILD 3                             /* the child is in a queue */
#define ENDED 4                             /* one for each worker */
#define SUBMITTED (4 + WORKERS)             /* the same */
#define CELLS (4 + 2 * WORKERS)
#include "memory.pml"

byte head, granted = TASKS;
bool child_taken, closed, halted, stop, orphan, attention, entry_queued, drained, idle_seen, entered;
byte qword, waiters, submitted_elsewhere, ended_elsewhere;
byte accepted, ran;                         /* what the checker knows */

/* What happens under a lease's lock happens at once: its fields are read under it only, and the lock drains the buffer. */
#define LOCKED(what) atomic { FENCED -> what }

inline add(cell) { atomic { load(cell, x); store(cell, x + 1); x = 0 } }
inline to_sum(n, cell) { atomic { load(cell, x); n = n + x; x = 0 } }

inline sum_ends() {
  to_sum(e, ENDED);
#if WORKERS == 2
  to_sum(e, ENDED + 1);
#endif
  e = e + ended_elsewhere
}
inline sum_submits() {
  s = s + submitted_elsewhere;
  to_sum(s, SUBMITTED);
#if WORKERS == 2
  to_sum(s, SUBMITTED + 1);
#endif
  LOCKED(s = s + (mem[USED] < granted -> mem[USED] : granted))
}
inline sums() {
  e = 0; s = 0;
#ifdef M_SUBMITS_FIRST
  sum_submits(); sum_ends();
#else
  sum_ends(); sum_submits();
#endif
}
inline check_quiescent() {
  fence();
  sums();
  if
  :: e == s ->
     atomic { FENCED -> qword++ };
     if :: orphan -> stop = true :: else fi
  :: else
  fi;
  e = 0; s = 0
}
inline tell() {                             /* after an end, or a use that was taken back */
  if :: attention -> check_quiescent() :: else fi
}

inline wait_quiescent() {
  atomic { FENCED -> waiters++ };
  atomic { FENCED -> attention = true };
#ifndef M_LIGHT_WAIT
  heavy_fence();
#endif
  do
  :: seen = qword;
     sums();
#ifdef M_LATE_SEEN
     seen = qword;
#endif
     if
     :: e == s -> break
     :: else -> (qword != seen)             /* futex_wait */
     fi
  od;
  e = 0; s = 0; seen = 0;
  atomic { FENCED -> waiters--; was_last = (waiters == 0) };
  if
  :: was_last ->
     do
     :: atomic { FENCED -> attention = false };
#ifdef M_BLIND_LOWER
        break
#else
        if
        :: waiters == 0 -> break
        :: else
        fi;
        atomic { FENCED -> attention = true };
#ifdef M_LIGHT_LOWER
        fence();
#else
        heavy_fence();
#endif
        check_quiescent();
#ifdef M_STALE_BIT
        break
#else
        if
        :: waiters != 0 -> break            /* he lowers it */
        :: else
        fi
#endif
#endif
     od
  :: else ->
#ifndef M_KEEP_TO_ONESELF
     atomic { FENCED -> qword++ }           /* whoever ended something may be gone before he tells */
#else
     skip
#endif
  fi;
  was_last = false
}
inline begin_close() {
  atomic { FENCED -> closed = true };
  LOCKED(mem[LIMIT] = 0);
#ifndef M_LIGHT_SHUT
  heavy_fence();
#endif
  LOCKED(granted = (mem[USED] < granted -> mem[USED] : granted))
}

proctype submitter() {
  byte me = SUBMITTER, n, x, e, s;
  do
  :: n < TASKS ->
     n++;
     add(USED);                             /* try_use; a light fence stops no store buffer */
     load(LIMIT, x);
     if
     :: x >= n
     :: x < n ->                            /* settle */
        LOCKED(x = (n <= granted); mem[USED] = (x -> n : n - 1));
        if
        :: x
        :: !x -> goto refused               /* no sum saw it: they cut off what was not granted */
        fi
     fi;
     x = 0;
     assert(!drained);
     accepted++;
     store(TAIL, n)
  :: n == TASKS -> break
  od;
refused:
  skip
}

inline run_task(first) {
  if
#ifdef IDLER
  :: false ->
#else
  :: first && !halted ->                    /* it submits a child */
#endif
     add(SUBMITTED + me);
     accepted++;
     store(CHILD, 1)
  :: else
  fi;
#ifdef ORPHAN
  if
  :: first ->                               /* hand_off() */
     begin_close();
     atomic { FENCED -> waiters++ };
     atomic { FENCED -> orphan = true };
     atomic { FENCED -> attention = true };
#ifndef M_LIGHT_ORPHAN
     heavy_fence()
#endif
  :: else
  fi;
#endif
  ran++;
  add(ENDED + me)
}

#define OUTSIDE_WORK (mem[TAIL] > head && !halted)
#define CHILD_WORK (mem[CHILD] == 1 && !child_taken && !halted)
#define ENTRY_WORK (entry_queued && !halted)

proctype worker(byte me) {
  byte x, e, s;
  bool first;
  do
  :: atomic { FENCED && OUTSIDE_WORK -> first = (head == 0); head++ }; run_task(first)
  :: atomic { FENCED && CHILD_WORK -> child_taken = true }; run_task(false)
  :: atomic { FENCED && ENTRY_WORK -> entry_queued = false }; run_task(false)
  :: !stop && !OUTSIDE_WORK && !CHILD_WORK && !ENTRY_WORK -> /* search() */
#ifndef M_LIGHT_END
     light_or_full_fence();
#endif
     tell();
     (OUTSIDE_WORK || CHILD_WORK || ENTRY_WORK || stop)
  :: stop -> break
  od
}

#ifndef ORPHAN
proctype closer() {
  byte me = CLOSER, x, e, s, seen;
  bool was_last;
  begin_close();
#ifdef ABORT
  atomic { FENCED -> halted = true };
  heavy_fence();
  do                                        /* flush(): as long as the workers still put something in */
  :: atomic { FENCED && mem[TAIL] > head -> head++; ended_elsewhere++; ran++ }; tell()
  :: atomic { FENCED && mem[CHILD] == 1 && !child_taken -> child_taken = true; ended_elsewhere++; ran++ }; tell()
  :: atomic { FENCED && entry_queued -> entry_queued = false; submitted_elsewhere--; accepted--; entered = true }; tell()
  :: mem[TAIL] <= head && !(mem[CHILD] == 1 && !child_taken) && !entry_queued ->
     sums();                                /* wait_quiescent() for 20 ms, then again */
     if
     :: e == s -> break
     :: else -> e = 0; s = 0
     fi
  od;
  e = 0; s = 0
#else
  wait_quiescent();
#endif
  assert(ran == accepted);
  drained = true;
  stop = true
}
#endif

#ifdef IDLER
proctype idler() {
  byte me = OTHER, x, e, s, seen;
  bool was_last;
  wait_quiescent();
  idle_seen = true
}
#endif
#ifdef ENTRY
proctype entry() {                          /* run_entry() */
  byte me = OTHER, x, e, s;
#ifdef M_LATE_COUNT
  bool c = closed;
  atomic { FENCED -> submitted_elsewhere++ };
#else
  bool c;
  atomic { FENCED -> submitted_elsewhere++ };
  fence();
  c = closed;
#endif
  if
  :: c ->
     atomic { FENCED -> submitted_elsewhere-- };
#ifndef M_SILENT_UNDO
     light_or_full_fence();
     tell()
#endif
  :: else ->
     accepted++;
     atomic { FENCED -> assert(!drained); entry_queued = true }
  fi;
  entered = true
}
#endif

proctype at_rest() {
  timeout ->
  assert(stop);                             /* nobody waits for a rest that is there */
  assert(ran == accepted);
  assert(mem[TAIL] == head);
#ifndef ORPHAN
  assert(!attention);                       /* nobody sums up for nobody */
#endif
#ifdef IDLER
  assert(idle_seen)
#endif
}

init {
  atomic {
    byte k;
#ifndef NO_MEMBARRIER
    mem[LIMIT] = TASKS;                     /* without it the trap is always set */
#endif
    RUN_BUFFERS;
    for (k : 0 .. WORKERS - 1) { run worker(k) }
    k = 0;
    run submitter();
#ifndef ORPHAN
    run closer();
#endif
#ifdef IDLER
    run idler();
#endif
#ifdef ENTRY
    run entry();
#endif
    run at_rest()
  }
}

ltl all_return { <> stop }
