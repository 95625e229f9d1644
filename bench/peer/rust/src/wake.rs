use crate::meter::{busy, now, Meter, Reading};
use crate::pools::{Gate, Pool};
use crate::{Ask, Case, Fallible};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

pub fn add_cases<P: Pool>(all: &mut Vec<Case>) {
    let mut add = |name, run| all.push(Case { peer: P::NAME, name, run });
    add("wake/one", one::<P>);
    add("wake/all", everybody::<P>);
    add("wake/ping_pong", ping_pong::<P>);
}

const IDLE_US: f64 = 200.0;

/// sample() waits, submits and returns the microseconds that count. The calling thread spins on purpose and is left out.
fn sampled(a: &Ask, each: usize, mut sample: impl FnMut() -> f64) -> Fallible<Reading> {
    for _ in 0..a.size / 20 {
        sample();
    }
    let m = Meter::start_others();
    let took: Vec<f64> = (0..a.size).map(|_| sample()).collect();
    let mut r = m.stop((a.size * each) as f64);
    r.wall = took.iter().sum::<f64>() * 1e-6;
    r.add_latencies(took);
    Ok(r)
}

fn leaked() -> &'static AtomicU64 {
    Box::leak(Box::new(AtomicU64::new(0)))
}

fn one<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let pool = P::open(a.workers);
    let started = leaked();
    sampled(a, 1, || {
        busy(IDLE_US);
        started.store(0, Ordering::Relaxed);
        let begin = now();
        pool.submit(move || started.store(now(), Ordering::Release));
        loop {
            let at = started.load(Ordering::Acquire);
            if at != 0 {
                return at.saturating_sub(begin) as f64 * 1e-3;
            }
            spin_loop();
        }
    })
}

/// As many tasks as workers, none of which ends before all have started; the submitter sleeps meanwhile.
fn everybody<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let pool = P::open(a.workers);
    let workers = a.workers as u64;
    sampled(a, a.workers, || {
        busy(IDLE_US);
        let shared = Arc::new((AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), Gate::default()));
        let begin = now();
        for _ in 0..workers {
            let shared = Arc::clone(&shared);
            pool.submit(move || {
                let (here, gone, last, all_gone) = &*shared;
                if here.fetch_add(1, Ordering::AcqRel) + 1 == workers {
                    last.store(now(), Ordering::Relaxed);
                }
                while here.load(Ordering::Acquire) < workers {
                    spin_loop();
                }
                if gone.fetch_add(1, Ordering::AcqRel) + 1 == workers {
                    all_gone.open();
                }
            });
        }
        shared.3.wait();
        shared.2.load(Ordering::Relaxed).saturating_sub(begin) as f64 * 1e-3
    })
}

fn ping_pong<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let pool = P::open(a.workers);
    let answered = leaked();
    sampled(a, 1, || {
        answered.store(0, Ordering::Relaxed);
        let begin = now();
        pool.submit(move || answered.store(1, Ordering::Release));
        while answered.load(Ordering::Acquire) == 0 {
            spin_loop();
        }
        (now() - begin) as f64 * 1e-3
    })
}
