use crate::meter::{burn, burn_steps, now, turn, until, Reading, Tally, LOST};
use crate::pools::Pool;
use crate::{Ask, Case, Fallible};
use std::sync::mpsc;
use std::sync::Arc;

pub fn add_cases<P: Pool>(all: &mut Vec<Case>) {
    let mut add = |name, run| all.push(Case { peer: P::NAME, name, run });
    add("submit/from_1", |a| from::<P>(a, 1));
    add("submit/from_2", |a| from::<P>(a, 2));
    add("submit/from_8", |a| from::<P>(a, 8));
    add("submit/local", local::<P>);
    add("submit/batch", batch::<P>);
    add("submit/handles", handles::<P>);
}

/// once(tally) submits `all` tasks that count themselves; it is turned until the time is over, after one run to warm up.
fn counted(a: &Ask, all: usize, once: impl Fn(&'static Tally)) -> Fallible<Reading> {
    let ran = Tally::leaked();
    let mut expected = 0;
    let mut failed = Ok(());
    let mut whole = || {
        expected += all as u64;
        once(ran);
        let ended = until(|| ran.sum() >= expected);
        if failed.is_ok() {
            failed = ended;
        }
    };
    whole();
    let r = turn(a, all, whole);
    failed?;
    if ran.sum() != expected {
        return Err(LOST.to_string());
    }
    Ok(r)
}

/// So many outside threads.
fn from<P: Pool>(a: &Ask, submitters: usize) -> Fallible<Reading> {
    let pool = P::open(a.workers);
    let each = a.size / submitters;
    counted(a, each * submitters, |ran| {
        std::thread::scope(|s| {
            for _ in 0..submitters {
                s.spawn(|| {
                    for i in 0..each {
                        pool.submit(move || ran.add(i));
                    }
                });
            }
        });
    })
}

/// A task submits the others.
fn local<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let pool = Arc::new(P::open(a.workers));
    let all = a.size;
    let r = counted(a, all, |ran| {
        let inner = Arc::clone(&pool);
        let (give, take) = mpsc::sync_channel(1);
        pool.submit(move || {
            for i in 0..all {
                inner.submit(move || ran.add(i));
            }
            drop(inner);
            let _ = give.send(());
        });
        let _ = take.recv();
    });
    // Tokio's runtime must not be dropped by one of its own tasks: this one is the last.
    drop(pool);
    r
}

fn handles<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let pool = P::open(a.workers);
    let (mut sum, mut runs) = (0u64, 0u64);
    let mut made = Vec::with_capacity(a.size);
    let mut once = || {
        for _ in 0..a.size {
            made.push(pool.spawn(|| 1));
        }
        for h in made.drain(..) {
            sum += pool.take(h);
        }
        runs += 1;
    };
    once();
    let r = turn(a, a.size, once);
    if sum != runs * a.size as u64 {
        return Err(LOST.to_string());
    }
    Ok(r)
}

/// Tasks of 1 µs, all of which are waited for.
fn batch<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let pool = P::open(a.workers);
    let steps = burn_steps(1.0);
    let serial_us = || {
        let begin = now();
        for _ in 0..a.size {
            burn(steps);
        }
        (now() - begin) as f64 * 1e-3
    };
    let once = || {
        let (give, take) = mpsc::channel();
        for _ in 0..a.size {
            let give = give.clone();
            pool.submit(move || {
                burn(steps);
                drop(give);
            });
        }
        drop(give);
        let _: Result<(), _> = take.recv(); // when the last sender is gone
    };
    once();
    let before = serial_us();
    let mut r = turn(a, a.size, once);
    let ideal = (before + serial_us()) / 2.0 / a.size as f64 / a.workers as f64;
    r.metrics.insert("over_ideal", r.wall * 1e6 / r.tasks / ideal);
    Ok(r)
}
