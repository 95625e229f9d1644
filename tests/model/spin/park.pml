/* Park and wake: core/src/idle.hpp, parker.hpp, and what worker.cpp (search, sleep, rise, leave_search) and submit.cpp
 * (published, wake_if_needed, rouse) make of them. Edges [hint] [dekker] [claim] [token] [rouse] [watch].
 *
 * One outside thread publishes JOBS jobs; WORKERS workers take them. Each job waits until all have been started, so with
 * as many jobs as workers the program ends only if every worker is awake: a job that lies in the queue while a worker
 * sleeps is never taken. That is the liveness property, and "nobody sleeps beside work" the safety property.
 *
 * Mutants, -DM_…:
 *   NO_RECHECK     parks without a second look          LIGHT_PARK     parks with a light fence for the heavy one (TSO)
 *   BIT_LATE       shows itself after the second look   NO_WAKE_FENCE  publishers look for searchers unfenced (TSO)
 *   TOKEN_LOST     unpark leaves no token               NO_LOOK_AGAIN  the last searcher leaves and does not look again
 *   RELAX_BLIND    lowers the hint and does not look    NO_ROUSED      rises before its waker has counted it
 *   WATCH_BLIND    no look after the hint was weak     LEAVE_BLIND    gets up from a watch and leaves the hint weak
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef JOBS
#define JOBS WORKERS
#endif
#define THREADS (WORKERS + 1)
#define PUBLISHER WORKERS

/* Cells that are written with plain stores. */
#define TAIL 0                 /* the inject queue: jobs published */
#define HINT 1
#define ROUSED 2               /* one for each worker */
#define CELLS (2 + WORKERS)
#include "memory.pml"

#ifdef NO_MEMBARRIER
#define FLOOR 2
#else
#define FLOOR 0
#endif
#define WATCHED 4

/* Words that only locked operations change: no store buffer holds them. */
byte head;                     /* jobs taken */
byte parked;                   /* a bit for each worker */
byte searching, watchers;
mtype = { no_token, asleep, notified };
mtype word[WORKERS] = no_token;
bool in_futex[WORKERS];
byte started;
bool over;                     /* lets the sleepers go at the end */

#define BIT(i) (1 << (i))
#define ALL ((1 << WORKERS) - 1)

/* queues_empty(): nobody but the publisher has stores to TAIL, so a look is a look at memory. moodycamel's transient "no"
 * is in the Relacy models. */
#define WORK (mem[TAIL] > head)
#define TAKE atomic { FENCED && WORK -> head++ }

inline unpark(i) {             /* parker::unpark */
#ifdef M_TOKEN_LOST
  atomic { FENCED -> was_asleep = (word[i] == asleep); if :: was_asleep -> word[i] = notified :: else fi };
#else
  atomic { FENCED -> was_asleep = (word[i] == asleep); word[i] = notified };
#endif
  if :: was_asleep -> in_futex[i] = false; was_asleep = false :: else fi
}
inline sleep_on_token() {      /* parker::park; the kernel compares and goes to sleep in one step */
  atomic { FENCED -> if :: word[me] == no_token -> word[me] = asleep :: else fi };
  do
  :: word[me] != asleep || over -> break
  :: d_step { word[me] == asleep && !over -> in_futex[me] = true }; (!in_futex[me] || over)
  od;
  atomic { FENCED -> in_futex[me] = false; word[me] = no_token }
}
inline claim(id, got) {        /* idle_state::claim_one */
  atomic { FENCED -> got = ((parked & BIT(id)) != 0); parked = parked & ~BIT(id) };
  if :: got -> atomic { FENCED -> searching++ } :: else fi
}
inline wake_one() {            /* the lowest first */
  k = 0;
  do
  :: k == WORKERS -> break
  :: k < WORKERS && (parked & BIT(k)) == 0 -> k++
  :: k < WORKERS && (parked & BIT(k)) != 0 ->
     claim(k, ok);
     if
     :: ok ->
#ifndef M_NO_ROUSED
        store(ROUSED + k, 1);
#endif
        unpark(k);
        break
     :: else -> k++
     fi
  od;
  k = 0; ok = false
}

proctype publisher() {
  byte me = PUBLISHER, n, h, k;
  bool ok, was_asleep;
  do
  :: n < JOBS ->
     n++;
     store(TAIL, n);           /* enqueue; then a light fence, which stops no store buffer */
     load(HINT, h);
     if
     :: h == 0 -> skip
     :: h == WATCHED -> skip   /* 63 of 64 times */
     :: h != 0 ->              /* also the 64th */
#ifndef M_NO_WAKE_FENCE
        fence();
#endif
        if
        :: searching == 0 && parked != 0 -> wake_one()
        :: else
        fi
     fi;
     h = 0
  :: n == JOBS -> break
  od
}

inline leave_search() {
  last = false;
  atomic { FENCED -> searching--; last = (searching == 0) };
#ifndef M_NO_LOOK_AGAIN
  if
  :: last && parked != 0 ->
     fence();
     if :: WORK -> wake_one() :: else fi
  :: else
  fi;
#endif
  last = false
}
inline run_job() {
  d_step { started++ };
  started == JOBS              /* all are needed at the same time */
}
inline rise() {
  claim(me, ok);
  if
  :: ok
  :: !ok ->                    /* a waker was quicker: his token is on the way */
     do
     :: load(ROUSED + me, w);
        if
        :: w != 0 -> atomic { FENCED -> mem[ROUSED + me] = 0 }; break
#ifdef M_NO_ROUSED
        :: w == 0 -> break
#else
        :: w == 0 -> sleep_on_token()
#endif
        fi
     od
  fi;
  ok = false; w = 0
}
inline raise_hint() {
  store(HINT, FLOOR | 1);
#ifdef M_LIGHT_PARK
  skip
#else
  heavy_fence()
#endif
}

inline get_up() {              /* and relax_hint */
  rise();
  load(HINT, w);
  if
  :: w != FLOOR && parked == 0 ->
     store(HINT, FLOOR);
     fence();
#ifndef M_RELAX_BLIND
     if
     :: parked != 0 ->
        raise_hint();
        if :: WORK -> wake_one() :: else fi
     :: else
     fi
#endif
  :: w == (FLOOR | WATCHED) && parked != 0 && watchers == 0 ->   /* whom publishers left to a watch that is over */
#ifdef M_LEAVE_BLIND
     skip
#else
     raise_hint()
#endif
  :: else
  fi;
  w = 0
}

proctype worker(byte me) {
  byte w, k;
  bool ok, last, was_asleep, watches, told;
loop:
  if                           /* claim() outside of a search */
  :: TAKE; run_job(); goto loop
  :: !WORK
  fi;
  atomic { FENCED -> searching++ };
look_around:
  if
  :: over -> goto done
  :: TAKE; leave_search(); run_job(); goto loop
  :: !WORK                     /* the spin is over */
  fi;
  /* sleep(): idle_state::prepare */
#ifndef M_BIT_LATE
  atomic { FENCED -> parked = parked | BIT(me) };
#endif
  atomic { FENCED -> searching-- };
  fence();
  raise_hint();
#ifndef M_NO_RECHECK
  if
  :: WORK -> get_up(); goto look_around
  :: else
  fi;
#endif
  /* Whether there is somebody to watch depends on his pace: any way must do */
  if
  :: skip                      /* nobody */
  :: skip -> watches = true    /* begin_watch */
  fi;
  if
  :: watches ->
     watches = false;
     atomic { FENCED -> watchers++ };
     store(HINT, FLOOR | WATCHED);
     if
     :: skip ->                /* nobody after all: end_watch */
        atomic { FENCED -> watchers-- };
        raise_hint();
#if !defined(M_NO_RECHECK) && !defined(M_WATCH_BLIND)
        if
        :: WORK -> get_up(); goto look_around
        :: else
        fi
#endif
     :: skip ->                /* a watcher sleeps by the clock: its sleep ends by itself, and it gets up or, when there is nothing, sleeps on */
        atomic { FENCED -> if :: word[me] == no_token -> word[me] = asleep :: else fi };
        atomic { FENCED -> told = (word[me] == notified); word[me] = no_token };
        if
        :: skip ->
           told = false;
           atomic { FENCED -> watchers-- };
           if :: over -> goto done :: else fi;
           get_up();
           goto look_around
        :: !told && !WORK ->
           atomic { FENCED -> watchers-- };
           raise_hint();
#if !defined(M_NO_RECHECK) && !defined(M_WATCH_BLIND)
           if
           :: WORK -> get_up(); goto look_around
           :: else
           fi
#endif
        fi
     fi
  :: else
  fi;
#ifdef M_BIT_LATE
  atomic { FENCED -> parked = parked | BIT(me) };
#endif
  sleep_on_token();
  if :: over -> goto done :: else fi;
  get_up();
  goto look_around;
done:
  skip
}

/* Nobody can take a step: either all is done and everybody sleeps, counted, or something was lost. */
proctype at_rest() {
  timeout ->
  assert(started == JOBS);     /* no job lies beside a sleeper */
  assert(searching == 0);      /* nobody sleeps who counts as searching */
  assert(parked == ALL);
  over = true
}

init {
  atomic {
    byte i;
    mem[HINT] = FLOOR;
    RUN_BUFFERS;
    for (i : 0 .. WORKERS - 1) { run worker(i) }
    run publisher();
    run at_rest()
  }
}

ltl all_start { <> (started == JOBS) }
