/* Memory as threads see it, for the other models here.
 *
 * SC (default): a store is visible at once. TSO (-DTSO): it waits in its thread's store buffer of two entries, first in,
 * first out, until the buffer's own process drains it or the thread passes a fence or a locked operation. That is all that
 * x86 reorders; what C++ allows beyond it is for the Relacy models next door.
 *
 * The including model defines THREADS and CELLS, gives each thread `me` (0 … THREADS-1), and runs one buffer(i) for each.
 */
#ifdef TSO
#define DEPTH 2
byte held[THREADS];                    /* entries in a thread's buffer */
byte where_[THREADS * DEPTH], what[THREADS * DEPTH];
byte mem[CELLS];

#define FENCED (held[me] == 0)         /* guard of a fence and of a locked operation */

inline drain_one(t) {
  mem[where_[t * DEPTH]] = what[t * DEPTH];
  where_[t * DEPTH] = where_[t * DEPTH + 1];
  what[t * DEPTH] = what[t * DEPTH + 1];
  where_[t * DEPTH + 1] = 0;
  what[t * DEPTH + 1] = 0;
  held[t]--
}
proctype buffer(byte t) {
end_empty:
  do
  :: d_step { held[t] > 0 -> drain_one(t) }
  od
}
inline store(cell, value) {
  d_step { held[me] < DEPTH -> where_[me * DEPTH + held[me]] = cell; what[me * DEPTH + held[me]] = value; held[me]++ }
}
inline load(cell, into) {              /* a thread sees its own stores first, the latest first */
  d_step {
    if
    :: held[me] == 2 && where_[me * DEPTH + 1] == cell -> into = what[me * DEPTH + 1]
    :: !(held[me] == 2 && where_[me * DEPTH + 1] == cell) && held[me] > 0 && where_[me * DEPTH] == cell ->
       into = what[me * DEPTH]
    :: else -> into = mem[cell]
    fi
  }
}
inline fence() { FENCED }
#define RUN_BUFFERS byte b_; for (b_ : 0 .. THREADS - 1) { run buffer(b_) } b_ = 0

#else
byte mem[CELLS];
#define FENCED true
inline store(cell, value) { mem[cell] = value }
inline load(cell, into) { into = mem[cell] }
inline fence() { skip }
#define RUN_BUFFERS skip
#endif

/* The asymmetric pair: membarrier(2) lets each thread pass a full barrier, one after another, somewhere between the call's
 * begin and its end. Without it (-DNO_MEMBARRIER) the heavy side is a fence of the caller's own. */
#if defined(TSO) && !defined(NO_MEMBARRIER)
inline heavy_fence() {
  byte t_;
  t_ = 0;
  do
  :: t_ < THREADS -> d_step { do :: held[t_] > 0 -> drain_one(t_) :: else -> break od; t_++ }
  :: t_ == THREADS -> break
  od;
  atomic { FENCED -> t_ = 0 }
}
#else
inline heavy_fence() { fence() }
#endif
#ifdef NO_MEMBARRIER
inline light_or_full_fence() { fence() }
#else
inline light_or_full_fence() { skip }
#endif
