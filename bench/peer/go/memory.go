package main

import (
	"math"
	"runtime"
	"sync/atomic"
	"time"
)

func memoryCases(k kind) []measured {
	var all []measured
	add := func(name string, run func(kind, ask) (reading, error)) {
		all = append(all, measured{k.name, "memory/" + name, func(a ask) (reading, error) { return run(k, a) }})
	}
	if k.queues {
		add("queued", queuedTasks)
		add("waiting_thread", waitingGoroutines)
	}
	if k.workers {
		add("idle_worker", idleWorkers)
	} else if k.queues {
		add("waiting_task", waitingTasks)
		add("open_fork", openForks)
	}
	return all
}

const warmTasks = 5000

func warm(p pool) error {
	var ran tally
	for i := 0; i < warmTasks; i++ {
		i := i
		p.submit(func() { ran.add(i) })
	}
	return until(func() bool { return ran.sum() == warmTasks })
}

// All workers of a pool stand in a task; a goroutine a task has no workers, so there each waits itself before it begins.
func standIn(k kind, p pool, workers int, gate chan struct{}) error {
	if !k.workers {
		return nil
	}
	var here atomic.Int64
	for i := 0; i < workers; i++ {
		p.submit(func() {
			here.Add(1)
			<-gate
		})
	}
	return until(func() bool { return here.Load() == int64(workers) })
}

func queuedTasks(k kind, a ask) (reading, error) {
	p := k.open(a.workers, a.size)
	if err := warm(p); err != nil {
		return reading{}, err
	}
	gate := make(chan struct{})
	if err := standIn(k, p, a.workers, gate); err != nil {
		return reading{}, err
	}
	var ran tally
	empty := residentBytes()
	var m meter
	m.start()
	for i := 0; i < a.size; i++ {
		i := i
		if k.workers {
			p.submit(func() { ran.add(i) })
		} else {
			p.submit(func() {
				<-gate
				ran.add(i)
			})
		}
	}
	full := residentBytes()
	close(gate)
	if err := until(func() bool { return ran.sum() == int64(a.size) }); err != nil {
		return reading{}, err
	}
	r := m.stop(float64(a.size))
	time.Sleep(50 * time.Millisecond)
	after := residentBytes()
	p.close()
	r.Metrics["bytes_each"] = (full - empty) / r.Tasks
	r.Metrics["bytes_kept_each"] = (after - empty) / r.Tasks
	r.Metrics["after_mb"] = after / 1e6
	return r, nil
}

// A worker is a goroutine here, and its thread is one of the few that all goroutines share.
func idleWorkers(k kind, a ask) (reading, error) {
	resident := func(workers int) (pool, float64, error) {
		p := k.open(workers, usualRoom)
		gate := make(chan struct{})
		err := standIn(k, p, workers, gate)
		close(gate)
		if err == nil {
			err = warm(p)
		}
		time.Sleep(30 * time.Millisecond)
		return p, residentBytes(), err
	}
	var m meter
	m.start()
	p, few, err := resident(1)
	if err != nil {
		return reading{}, err
	}
	defer p.close()
	q, many, err := resident(1 + a.size)
	if err != nil {
		return reading{}, err
	}
	defer q.close()
	r := m.stop(float64(a.size))
	r.Metrics["bytes_each"] = math.Max(0, (many-few)/float64(a.size+1))
	return r, nil
}

// Goroutines outside of the pool that wait for a handle of a task that has not started.
func waitingGoroutines(k kind, a ask) (reading, error) {
	p := k.open(a.workers, usualRoom)
	if err := warm(p); err != nil {
		return reading{}, err
	}
	gate := make(chan struct{})
	if err := standIn(k, p, a.workers, gate); err != nil {
		return reading{}, err
	}
	var here, gone atomic.Int64
	before := residentBytes()
	var m meter
	m.start()
	for i := 0; i < a.size; i++ {
		go func() {
			h := make(chan int, 1)
			p.submit(func() {
				<-gate
				h <- 1
			})
			here.Add(1)
			<-h
			gone.Add(1)
		}()
	}
	if err := until(func() bool { return here.Load() == int64(a.size) }); err != nil {
		return reading{}, err
	}
	r := m.stop(float64(a.size))
	time.Sleep(20 * time.Millisecond)
	r.Metrics["bytes_each"] = math.Max(0, (residentBytes()-before)/r.Tasks)
	close(gate)
	err := until(func() bool { return gone.Load() == int64(a.size) })
	p.close()
	return r, err
}

// They are small: a hundred times as many as asked for, or pages would not show them.
func waitingTasks(k kind, a ask) (reading, error) {
	a.size *= 100
	p := k.open(a.workers, usualRoom)
	if err := warm(p); err != nil {
		return reading{}, err
	}
	gate := make(chan struct{})
	handles := make([]chan int, a.size)
	for i := range handles {
		h := make(chan int, 1)
		handles[i] = h
		p.submit(func() {
			<-gate
			h <- 1
		})
	}
	time.Sleep(20 * time.Millisecond)
	var here, gone atomic.Int64
	before, threads := residentBytes(), threadsNow()
	var m meter
	m.start()
	for _, h := range handles {
		h := h
		p.submit(func() {
			here.Add(1)
			<-h
			gone.Add(1)
		})
	}
	if err := until(func() bool { return here.Load() == int64(a.size) }); err != nil {
		return reading{}, err
	}
	r := m.stop(float64(a.size))
	time.Sleep(20 * time.Millisecond)
	r.Metrics["bytes_each"] = math.Max(0, (residentBytes()-before)/r.Tasks)
	r.Metrics["threads_each"] = math.Max(0, (threadsNow()-threads)/r.Tasks)
	close(gate)
	return r, until(func() bool { return gone.Load() == int64(a.size) })
}

func openForks(_ kind, a ask) (reading, error) {
	var atBottom float64
	var deep func(depth int) uint64
	deep = func(depth int) uint64 {
		if depth == 0 {
			atBottom = residentBytes()
			return 1
		}
		return both(func() uint64 { return deep(depth - 1) }, func() uint64 { return 1 })
	}
	deep(10)
	runtime.GC()
	shallow := residentBytes()
	var m meter
	m.start()
	got := deep(a.size)
	r := m.stop(float64(a.size))
	r.Metrics["bytes_each"] = math.Max(0, (atBottom-shallow)/r.Tasks)
	if got != uint64(a.size)+1 {
		return r, errLost
	}
	return r, nil
}
