package main

import (
	"errors"
	"strconv"
	"sync"
)

var errLost = errors.New("tasks were lost or doubled")

func submitCases(k kind) []measured {
	var all []measured
	add := func(name string, run func(ask) (reading, error)) {
		all = append(all, measured{k.name, "submit/" + name, run})
	}
	for _, n := range []int{1, 2, 8} {
		n := n
		add("from_"+strconv.Itoa(n), func(a ask) (reading, error) { return submitFrom(k, a, n) })
	}
	add("batch", func(a ask) (reading, error) { return submitBatch(k, a) })
	if k.local {
		add("local", func(a ask) (reading, error) { return submitLocal(k, a) })
	}
	if k.queues {
		add("handles", func(a ask) (reading, error) { return submitHandles(k, a) })
	}
	return all
}

// So many goroutines outside of the pool submit.
func submitFrom(k kind, a ask, submitters int) (reading, error) {
	p := k.open(a.workers, usualRoom)
	each := a.size / submitters
	all := each * submitters
	var ran tally
	var expected int64
	var failed error
	r := warmLoop(a, all, func() {
		expected += int64(all)
		var outside sync.WaitGroup
		outside.Add(submitters)
		for s := 0; s < submitters; s++ {
			go func() {
				for i := 0; i < each; i++ {
					i := i
					p.submit(func() { ran.add(i) })
				}
				outside.Done()
			}()
		}
		outside.Wait()
		if err := until(func() bool { return ran.sum() >= expected }); err != nil {
			failed = err
		}
	})
	p.close()
	if failed == nil && ran.sum() != expected {
		failed = errLost
	}
	return r, failed
}

// A task submits the others.
func submitLocal(k kind, a ask) (reading, error) {
	p := k.open(a.workers, usualRoom)
	var ran tally
	var expected int64
	var failed error
	r := warmLoop(a, a.size, func() {
		expected += int64(a.size)
		p.submit(func() {
			for i := 0; i < a.size; i++ {
				i := i
				p.submit(func() { ran.add(i) })
			}
		})
		if err := until(func() bool { return ran.sum() >= expected }); err != nil {
			failed = err
		}
	})
	p.close()
	if failed == nil && ran.sum() != expected {
		failed = errLost
	}
	return r, failed
}

// A channel is what a Go program has for a handle.
func submitHandles(k kind, a ask) (reading, error) {
	p := k.open(a.workers, usualRoom)
	handles := make([]chan uint64, a.size)
	var sum, runs uint64
	r := warmLoop(a, a.size, func() {
		for i := range handles {
			h := make(chan uint64, 1)
			handles[i] = h
			p.submit(func() { h <- 1 })
		}
		for i := range handles {
			sum += <-handles[i]
			handles[i] = nil
		}
		runs++
	})
	p.close()
	if sum != runs*uint64(a.size) {
		return r, errLost
	}
	return r, nil
}

// Tasks of 1 µs and a WaitGroup.
func submitBatch(k kind, a ask) (reading, error) {
	p := k.open(a.workers, usualRoom)
	steps := burnSteps(1)
	serial := func() float64 {
		begin := now()
		for i := 0; i < a.size; i++ {
			burn(steps)
		}
		return float64(now()-begin) * 1e-3
	}
	before := serial()
	r := warmLoop(a, a.size, func() {
		var done sync.WaitGroup
		done.Add(a.size)
		for i := 0; i < a.size; i++ {
			p.submit(func() {
				burn(steps)
				done.Done()
			})
		}
		done.Wait()
	})
	p.close()
	ideal := (before + serial()) / 2 / float64(a.size) / float64(a.workers)
	r.Metrics["over_ideal"] = r.Wall * 1e6 / r.Tasks / ideal
	return r, nil
}
