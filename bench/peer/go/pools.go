package main

import (
	"sync"
)

// Fire and forget. close() ends what the pool has of its own; every task has ended before.
type pool interface {
	submit(task func())
	close()
}

type kind struct {
	name    string
	queues  bool // holds tasks that no worker has taken
	workers bool // has workers of its own that can idle
	local   bool // a task may submit any number of tasks
	open    func(workers, room int) pool
}

var kinds = []kind{
	{"Go", true, false, true, func(int, int) pool { return goroutines{} }},
	{"Go channel pool", true, true, false, openChannelPool},
	{"Go errgroup", false, false, false, openErrgroup},
}

// The language's own: a goroutine a task.
type goroutines struct{}

func (goroutines) submit(task func()) { go task() }
func (goroutines) close()             {}

// A worker pool as every tutorial writes it.
type channelPool struct {
	tasks chan func()
	done  sync.WaitGroup
}

func openChannelPool(workers, room int) pool {
	p := &channelPool{tasks: make(chan func(), room)}
	p.done.Add(workers)
	for i := 0; i < workers; i++ {
		go func() {
			defer p.done.Done()
			for task := range p.tasks {
				task()
			}
		}()
	}
	return p
}
func (p *channelPool) submit(task func()) { p.tasks <- task }
func (p *channelPool) close() {
	close(p.tasks)
	p.done.Wait()
}

// What golang.org/x/sync/errgroup does with SetLimit: a goroutine a task, and a semaphore that makes the submitter wait
// while as many run. Written here, for it is no part of the standard library.
type errgroup struct {
	running chan struct{}
	all     sync.WaitGroup
	once    sync.Once
	err     error
}

func openErrgroup(workers, _ int) pool {
	return &errgroup{running: make(chan struct{}, workers)}
}
func (g *errgroup) Go(f func() error) {
	g.running <- struct{}{}
	g.all.Add(1)
	go func() {
		defer func() {
			<-g.running
			g.all.Done()
		}()
		if err := f(); err != nil {
			g.once.Do(func() { g.err = err })
		}
	}()
}
func (g *errgroup) submit(task func()) {
	g.Go(func() error {
		task()
		return nil
	})
}
func (g *errgroup) close() { g.all.Wait() }

// How many tasks a pool that is bounded holds when nothing else is said.
const usualRoom = 1 << 16
