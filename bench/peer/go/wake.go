package main

import (
	"runtime"
	"sync"
	"sync/atomic"
)

const idleUs = 200

func wakeCases(k kind) []measured {
	return []measured{
		{k.name, "wake/one", func(a ask) (reading, error) { return wakeOne(k, a) }},
		{k.name, "wake/all", func(a ask) (reading, error) { return wakeAll(k, a) }},
		{k.name, "wake/ping_pong", func(a ask) (reading, error) { return pingPong(k, a) }},
	}
}

// sample() waits, submits and returns the microseconds that count. What the submitting thread itself uses is left out: it
// spins on purpose. It has a processor of Go's of its own, as an outside thread has beside other pools.
func sampled(a ask, each float64, sample func() float64) reading {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := 0; i < a.size/20; i++ {
		sample()
	}
	took := make([]float64, 0, a.size)
	m := meter{others: true}
	m.start()
	for i := 0; i < a.size; i++ {
		took = append(took, sample())
	}
	r := m.stop(float64(a.size) * each)
	r.Wall = 0
	for _, us := range took {
		r.Wall += us * 1e-6
	}
	addLatencies(&r, took)
	return r
}

func wakeOne(k kind, a ask) (reading, error) {
	runtime.GOMAXPROCS(a.workers + 1)
	p := k.open(a.workers, usualRoom)
	defer p.close()
	var started atomic.Int64
	return sampled(a, 1, func() float64 {
		busy(idleUs)
		started.Store(0)
		begin := now()
		p.submit(func() { started.Store(now()) })
		at := started.Load()
		for ; at == 0; at = started.Load() {
		}
		return float64(at-begin) * 1e-3
	}), nil
}

// As many tasks as workers, none of which ends before all have started.
func wakeAll(k kind, a ask) (reading, error) {
	p := k.open(a.workers, usualRoom)
	defer p.close()
	return sampled(a, float64(a.workers), func() float64 {
		busy(idleUs)
		var here atomic.Int64
		var last atomic.Int64
		var gone sync.WaitGroup
		gone.Add(a.workers)
		begin := now()
		for i := 0; i < a.workers; i++ {
			p.submit(func() {
				if here.Add(1) == int64(a.workers) {
					last.Store(now())
				}
				for here.Load() < int64(a.workers) {
				}
				gone.Done()
			})
		}
		gone.Wait()
		return float64(last.Load()-begin) * 1e-3
	}), nil
}

func pingPong(k kind, a ask) (reading, error) {
	runtime.GOMAXPROCS(a.workers + 1)
	p := k.open(a.workers, usualRoom)
	defer p.close()
	var answered atomic.Bool
	return sampled(a, 1, func() float64 {
		answered.Store(false)
		begin := now()
		p.submit(func() { answered.Store(true) })
		for !answered.Load() {
		}
		return float64(now()-begin) * 1e-3
	}), nil
}
