/* The join of a stolen job: core/src/join_state.hpp and fork.cpp (fork_finish, sleep_in_join, answer_bell), parker.hpp.
 * Edges [join] [asleep] [token] [bell].
 *
 * A thief runs a job that lies on its owner's stack; the owner waits, sleeps, is woken by tokens that are meant for it and
 * by stale ones, and frees the frame once the job is over. While it runs, the thief forks a job of its own and then is in a
 * leaf until somebody takes that one: only the waiter can, so it must see it or be told (with membarrier: without it a
 * hidden fork stays its owner's, and the thief does not count on anybody).
 *
 * Safety: the result is there when the owner reads it; nobody touches the frame once it is freed.
 * Liveness: the owner returns.
 *
 * Mutants, -DM_…:
 *   TOUCH_LATE   the finisher looks into the job for its waiter after the word said done
 *   BLIND_DONE   the finisher stores done and wakes whom it saw before      BLIND_WAIT  the waiter stores `waiting` unseen
 *   TOKEN_LOST   unpark leaves no token                                     ONE_SLEEP   the waiter takes a token for the end
 *   LIGHT_BELL   the waiter rings and looks without a heavy fence (TSO)     NO_FOLLOW   nobody tells the waiter of a fork
 *   RING_LATE    the waiter looks first and rings then
 */
#define THREADS 2
#define OWNER 0
#define THIEF 1
#define RESULT 0
#define HEAD 1                 /* the thief's deque: a private job lies there */
#define BELL 2                 /* somebody is hungry */
#define CELLS 3
#include "memory.pml"

mtype = { running, waiting, done, no_token, asleep, notified };
mtype word = running, bed = no_token;
bool in_futex, freed, returned, follows, public, taken;
#ifdef NO_MEMBARRIER
#define ASYMMETRIC false
#else
#define ASYMMETRIC true
#endif

inline touch() { assert(!freed) }

inline unpark() {
#ifdef M_TOKEN_LOST
  atomic { FENCED -> was = bed; if :: was == asleep -> bed = notified :: else fi };
#else
  atomic { FENCED -> was = bed; bed = notified };
#endif
  if :: was == asleep -> in_futex = false :: else fi;
  was = 0
}
inline park() {
  atomic { FENCED -> if :: bed == no_token -> bed = asleep :: else fi };
  do
  :: bed != asleep -> break
  :: d_step { bed == asleep -> in_futex = true }; !in_futex
  od;
  atomic { FENCED -> in_futex = false; bed = no_token }
}

proctype thief() {
  byte me = THIEF, x;
  mtype was, before;
  if                           /* the job forks, or not */
  :: ASYMMETRIC ->
     store(HEAD, 1);           /* push; a light fence stops no store buffer */
     load(BELL, x);
     if
     :: x != 0 ->              /* answer_bell */
        atomic { FENCED -> public = true };
#ifndef M_NO_FOLLOW
        if :: follows -> unpark() :: else fi
#endif
     :: else
     fi;
     x = 0;
     taken                     /* a leaf that needs what it forked */
  :: skip
  fi;
  store(RESULT, 1);
  /* fork_finish */
#ifdef M_TOUCH_LATE
  touch();
  atomic { FENCED -> before = word; word = done };
  if :: before == waiting -> touch(); unpark() :: else fi
#else
#ifdef M_BLIND_DONE
  touch();
  before = word;
  atomic { FENCED -> word = done };
#else
  touch();
  atomic { FENCED -> before = word; word = done };
#endif
  if :: before == waiting -> unpark() :: else fi
#endif
}

proctype stale_token() {       /* meant for an earlier wait */
  byte me = THIEF;
  mtype was;
  if
  :: skip                      /* or there is none */
  :: atomic { was = bed; bed = notified };
     if :: was == asleep -> in_futex = false :: else fi
  fi
}

proctype owner() {
  byte me = OWNER, x;
  do
  :: word == done -> break
  :: else ->
     if                        /* leapfrog: steals what is public, forces what is private */
     :: public && !taken -> atomic { FENCED -> taken = true }
     :: ASYMMETRIC && mem[HEAD] == 1 && !public && !taken -> heavy_fence(); atomic { FENCED -> taken = true }
     :: (!public && mem[HEAD] == 0) || taken || !ASYMMETRIC ->
        /* sleep_in_join */
        if
        :: word == done -> break
        :: else
        fi;
#ifdef M_BLIND_WAIT
        atomic { FENCED -> word = waiting };
#else
        atomic { FENCED -> if :: word == running -> word = waiting :: else fi };
#endif
        atomic { FENCED -> follows = true };
        x = 0;
#ifdef M_RING_LATE
        load(HEAD, x);
        store(BELL, 1);
#else
        store(BELL, 1);
#ifndef M_LIGHT_BELL
        heavy_fence();
#endif
        load(HEAD, x);
#endif
        if
        :: x != 0 && !taken && ASYMMETRIC
        :: else ->
           if
           :: word == done     /* the exchange that failed */
           :: word != done -> park()
           fi
        fi;
        x = 0;
        follows = false
     fi
#ifdef M_ONE_SLEEP
     ; if :: word == waiting -> break :: else fi
#endif
  od;
  touch();
  load(RESULT, x);
  assert(x == 1);
  freed = true;
  returned = true
}

init {
  atomic {
    RUN_BUFFERS;
    run thief();
    run owner();
    run stale_token()
  }
}

ltl returns { <> returned }
