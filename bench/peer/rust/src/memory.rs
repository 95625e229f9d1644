use crate::meter::{resident_bytes, threads_now, until, Meter, Reading, Tally};
use crate::pools::{Gate, Pool, Rayon, Tokio};
use crate::{Ask, Case, Fallible};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

pub fn add_cases<P: Pool>(all: &mut Vec<Case>) {
    let mut add = |name, run| all.push(Case { peer: P::NAME, name, run });
    add("memory/queued", queued::<P>);
    add("memory/idle_worker", idle_worker::<P>);
    add("memory/waiting_thread", waiting_thread::<P>);
}

pub fn add_special_cases(all: &mut Vec<Case>) {
    all.push(Case { peer: Tokio::NAME, name: "memory/waiting_task", run: waiting_task });
    all.push(Case { peer: Rayon::NAME, name: "memory/open_fork", run: open_fork });
}

fn rest(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn warm<P: Pool>(pool: &P) -> Fallible<()> {
    let ran = Tally::leaked();
    for i in 0..5000 {
        pool.submit(move || ran.add(i));
    }
    until(|| ran.sum() == 5000)
}

fn stand_in<P: Pool>(pool: &P, workers: usize, gate: &Arc<Gate>) -> Fallible<()> {
    let here = Tally::leaked();
    for i in 0..workers {
        let gate = Arc::clone(gate);
        pool.submit(move || {
            here.add(i);
            gate.wait();
        });
    }
    until(|| here.sum() == workers as u64)
}

fn queued<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let pool = P::open(a.workers);
    warm(&pool)?;
    let gate = Arc::new(Gate::default());
    stand_in(&pool, a.workers, &gate)?;
    let ran = Tally::leaked();
    let empty = resident_bytes();
    let m = Meter::start();
    for i in 0..a.size {
        pool.submit(move || ran.add(i));
    }
    let full = resident_bytes();
    gate.open();
    until(|| ran.sum() == a.size as u64)?;
    let mut r = m.stop(a.size as f64);
    rest(50);
    let after = resident_bytes();
    r.metrics.insert("bytes_each", (full - empty) / r.tasks);
    r.metrics.insert("bytes_kept_each", (after - empty) / r.tasks);
    r.metrics.insert("after_mb", after / 1e6);
    Ok(r)
}

/// A small pool, then a large one beside it.
fn idle_worker<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let resident = |workers: usize| -> Fallible<(P, f64)> {
        let pool = P::open(workers);
        let gate = Arc::new(Gate::default());
        stand_in(&pool, workers, &gate)?;
        gate.open();
        warm(&pool)?;
        rest(30);
        Ok((pool, resident_bytes()))
    };
    let m = Meter::start();
    let (_small, few) = resident(1)?;
    let (_large, many) = resident(1 + a.size)?;
    let mut r = m.stop(a.size as f64);
    r.metrics.insert("bytes_each", ((many - few) / (a.size as f64 + 1.0)).max(0.0));
    Ok(r)
}

/// Outside threads that wait for a handle of a task that cannot start yet.
fn waiting_thread<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let pool = Arc::new(P::open(a.workers));
    warm(&*pool)?;
    let gate = Arc::new(Gate::default());
    stand_in(&*pool, a.workers, &gate)?;
    let here = Tally::leaked();
    let before = resident_bytes();
    let m = Meter::start();
    let threads: Vec<_> = (0..a.size)
        .map(|i| {
            let (pool, gate) = (Arc::clone(&pool), Arc::clone(&gate));
            std::thread::spawn(move || {
                let h = pool.spawn(move || {
                    gate.wait();
                    1
                });
                here.add(i);
                pool.take(h)
            })
        })
        .collect();
    until(|| here.sum() == a.size as u64)?;
    let mut r = m.stop(a.size as f64);
    rest(20);
    r.metrics.insert("bytes_each", ((resident_bytes() - before) / r.tasks).max(0.0));
    gate.open();
    for t in threads {
        t.join().map_err(|_| "a thread that waited died")?;
    }
    Ok(r)
}

/// Tasks that await another. They are small: a hundred times as many as asked for, or pages would not show them.
fn waiting_task(asked: &Ask) -> Fallible<Reading> {
    let a = &Ask { size: 100 * asked.size, ..*asked };
    let pool = Tokio::open(a.workers);
    warm(&pool)?;
    let (open, gate) = tokio::sync::watch::channel(false);
    let handles: Vec<_> = (0..a.size)
        .map(|_| {
            let mut gate = gate.clone();
            pool.run(async {
                tokio::spawn(async move {
                    while !*gate.borrow() {
                        if gate.changed().await.is_err() {
                            return 0;
                        }
                    }
                    1
                })
            })
        })
        .collect();
    rest(20);
    let (here, gone) = (Tally::leaked(), Tally::leaked());
    let (before, threads) = (resident_bytes(), threads_now());
    let m = Meter::start();
    for (i, h) in handles.into_iter().enumerate() {
        pool.start(async move {
            here.add(i);
            let _ = h.await;
            gone.add(i);
        });
    }
    until(|| here.sum() == a.size as u64)?;
    let mut r = m.stop(a.size as f64);
    rest(20);
    r.metrics.insert("bytes_each", ((resident_bytes() - before) / r.tasks).max(0.0));
    r.metrics.insert("threads_each", ((threads_now() - threads) / r.tasks).max(0.0));
    open.send(true).map_err(|e| e.to_string())?;
    until(|| gone.sum() == a.size as u64)?;
    Ok(r)
}

fn deep(depth: usize, at_bottom: &AtomicU64) -> u64 {
    if depth == 0 {
        at_bottom.store(resident_bytes() as u64, Ordering::Relaxed);
        return 1;
    }
    let (x, y) = rayon::join(|| deep(depth - 1, at_bottom), || 1);
    x + y
}

fn open_fork(a: &Ask) -> Fallible<Reading> {
    let pool = Rayon::open(a.workers);
    let at_bottom = AtomicU64::new(0);
    pool.0.install(|| deep(10, &at_bottom));
    let shallow = at_bottom.load(Ordering::Relaxed) as f64;
    let m = Meter::start();
    let got = pool.0.install(|| deep(a.size, &at_bottom));
    let mut r = m.stop(a.size as f64);
    let grown = at_bottom.load(Ordering::Relaxed) as f64 - shallow;
    r.metrics.insert("bytes_each", (grown / r.tasks).max(0.0));
    if got != a.size as u64 + 1 {
        return Err("wrong answer".to_string());
    }
    Ok(r)
}
