//! The two pools, as their users call them.

use std::future::Future;
use std::sync::mpsc;
use std::sync::{Condvar, Mutex};

pub trait Pool: Send + Sync + 'static {
    const NAME: &'static str;
    type Handle: Send;
    fn open(workers: usize) -> Self;
    /// Fire and forget, from any thread.
    fn submit<F: FnOnce() + Send + 'static>(&self, task: F);
    /// With a value that take() waits for, on an outside thread.
    fn spawn<F: FnOnce() -> u64 + Send + 'static>(&self, task: F) -> Self::Handle;
    fn take(&self, handle: Self::Handle) -> u64;
}

pub struct Tokio(tokio::runtime::Runtime);

impl Tokio {
    pub fn start<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.spawn(task);
    }
    pub fn run<F: Future>(&self, task: F) -> F::Output {
        self.0.block_on(task)
    }
}

impl Pool for Tokio {
    const NAME: &'static str = "Tokio";
    type Handle = tokio::task::JoinHandle<u64>;
    fn open(workers: usize) -> Self {
        Tokio(tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().expect("a runtime"))
    }
    fn submit<F: FnOnce() + Send + 'static>(&self, task: F) {
        self.0.spawn(async move { task() });
    }
    fn spawn<F: FnOnce() -> u64 + Send + 'static>(&self, task: F) -> Self::Handle {
        self.0.spawn(async move { task() })
    }
    fn take(&self, handle: Self::Handle) -> u64 {
        self.0.block_on(handle).expect("the task's value")
    }
}

pub struct Rayon(pub rayon::ThreadPool);

impl Pool for Rayon {
    const NAME: &'static str = "Rayon";
    // Rayon's spawn has no handle: a channel is what its users take.
    type Handle = mpsc::Receiver<u64>;
    fn open(workers: usize) -> Self {
        Rayon(rayon::ThreadPoolBuilder::new().num_threads(workers).build().expect("a pool"))
    }
    fn submit<F: FnOnce() + Send + 'static>(&self, task: F) {
        self.0.spawn(task);
    }
    fn spawn<F: FnOnce() -> u64 + Send + 'static>(&self, task: F) -> Self::Handle {
        let (give, take) = mpsc::sync_channel(1);
        self.0.spawn(move || {
            let _ = give.send(task());
        });
        take
    }
    fn take(&self, handle: Self::Handle) -> u64 {
        handle.recv().expect("the task's value")
    }
}

/// Tasks that hold the workers until they are let go.
#[derive(Default)]
pub struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub fn wait(&self) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
    }
    pub fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}
