package main

import (
	"errors"
	"sync"
)

func forkCases() []measured {
	workload := func(name string, run func(size int) uint64, warm func(size int) int, answer func(size int) uint64) measured {
		return measured{"Go", "fork/" + name, func(a ask) (reading, error) {
			run(warm(a.size))
			var got uint64
			r := loop(a, 1, func() { got = run(a.size) })
			if got != answer(a.size) {
				return r, errors.New("wrong answer")
			}
			return r, nil
		}}
	}
	return []measured{
		workload("fib", func(n int) uint64 { return fib(uint64(n)) }, func(n int) int { return n - 5 }, fibNumber),
		workload("skynet", func(depth int) uint64 { return skynet(0, power10(depth)) }, func(depth int) int { return depth - 1 },
			func(depth int) uint64 { return power10(depth) * (power10(depth) - 1) / 2 }),
		workload("nqueens", func(n int) uint64 { return nqueens(n, 0, [14]int8{}) }, func(n int) int { return n - 2 },
			func(n int) uint64 {
				if n < 8 || n > 14 {
					return 0
				}
				return []uint64{92, 352, 724, 2680, 14200, 73712, 365596}[n-8]
			}),
		{"Go", "fork/group", groupChildren},
	}
}

// A goroutine for one side, the caller for the other.
func both(f, g func() uint64) uint64 {
	var x uint64
	var forked sync.WaitGroup
	forked.Add(1)
	go func() {
		x = f()
		forked.Done()
	}()
	y := g()
	forked.Wait()
	return x + y
}

func fib(n uint64) uint64 {
	if n < 2 {
		return n
	}
	return both(func() uint64 { return fib(n - 1) }, func() uint64 { return fib(n - 2) })
}

func fibNumber(n int) uint64 {
	a, b := uint64(0), uint64(1)
	for i := 0; i < n; i++ {
		a, b = b, a+b
	}
	return a
}

func power10(n int) uint64 {
	p := uint64(1)
	for i := 0; i < n; i++ {
		p *= 10
	}
	return p
}

func skynet(base, leaves uint64) uint64 {
	if leaves == 1 {
		return base
	}
	part := leaves / 10
	var sums [10]uint64
	var forked sync.WaitGroup
	forked.Add(10)
	for i := range sums {
		i := i
		go func() {
			sums[i] = skynet(base+part*uint64(i), part)
			forked.Done()
		}()
	}
	forked.Wait()
	var sum uint64
	for _, s := range sums {
		sum += s
	}
	return sum
}

func nqueens(n, x int, board [14]int8) uint64 {
	if x == n {
		return 1
	}
	var rows [14]int8
	legal := 0
	for y := 0; y < n; y++ {
		free := true
		for i := 0; i < x && free; i++ {
			p, away := int(board[i]), x-i
			free = y != p && y != p-away && y != p+away
		}
		if free {
			rows[legal] = int8(y)
			legal++
		}
	}
	var found [14]uint64
	var forked sync.WaitGroup
	forked.Add(legal)
	for i := 0; i < legal; i++ {
		i := i
		go func() {
			next := board
			next[x] = rows[i]
			found[i] = nqueens(n, x+1, next)
			forked.Done()
		}()
	}
	forked.Wait()
	var sum uint64
	for _, f := range found {
		sum += f
	}
	return sum
}

// One goroutine starts the children and waits for them.
func groupChildren(a ask) (reading, error) {
	var ran tally
	var expected int64
	r := warmLoop(a, a.size, func() {
		expected += int64(a.size)
		whole := make(chan struct{})
		go func() {
			var children sync.WaitGroup
			children.Add(a.size)
			for i := 0; i < a.size; i++ {
				i := i
				go func() {
					ran.add(i)
					children.Done()
				}()
			}
			children.Wait()
			close(whole)
		}()
		<-whole
	})
	if ran.sum() != expected {
		return r, errLost
	}
	return r, nil
}
