package main

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var zero = time.Now()

// Nanoseconds since the start.
func now() int64 { return int64(time.Since(zero)) }

type usage struct{ cpu, voluntary, involuntary float64 }

const rusageThread = 1

func usageOf(who int) usage {
	var r syscall.Rusage
	_ = syscall.Getrusage(who, &r)
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)*1e-6 }
	return usage{seconds(r.Utime) + seconds(r.Stime), float64(r.Nvcsw), float64(r.Nivcsw)}
}
func (u usage) minus(v usage) usage {
	return usage{u.cpu - v.cpu, u.voluntary - v.voluntary, u.involuntary - v.involuntary}
}

// Everybody, or everybody but the calling thread, which must be locked to its goroutine.
func usageNow(others bool) usage {
	u := usageOf(syscall.RUSAGE_SELF)
	if others {
		u = u.minus(usageOf(rusageThread))
	}
	return u
}

// Takes the reading of a stretch of code.
type meter struct {
	others bool
	used   usage
	began  int64
	heap   runtime.MemStats
}

func (m *meter) start() {
	runtime.ReadMemStats(&m.heap)
	m.used = usageNow(m.others)
	m.began = now()
}
func (m *meter) stop(tasks float64) reading {
	wall := float64(now()-m.began) * 1e-9
	u := usageNow(m.others).minus(m.used)
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	made, bytes := float64(heap.Mallocs-m.heap.Mallocs), float64(heap.TotalAlloc-m.heap.TotalAlloc)
	return reading{tasks, wall, math.Max(0, u.cpu), math.Max(0, u.voluntary), math.Max(0, u.involuntary), &made, &bytes,
		map[string]float64{}, map[string][][2]float64{}}
}

// once() as often as fits into so many seconds. It makes `tasks` tasks.
func loop(a ask, tasks int, once func()) reading {
	for turns := 1; ; {
		var m meter
		m.start()
		for i := 0; i < turns; i++ {
			once()
		}
		r := m.stop(float64(turns) * float64(tasks))
		if r.Wall >= a.seconds || turns >= 1<<30 {
			return r
		}
		more := math.Ceil(float64(turns) * 1.2 * a.seconds / math.Max(r.Wall, 1e-7))
		turns = int(math.Min(math.Max(more, float64(turns+1)), 10*float64(turns)))
	}
}

// The same after one run to warm up.
func warmLoop(a ask, tasks int, once func()) reading {
	once()
	return loop(a, tasks, once)
}

// Tasks that have run. Each writes one of several words, for one is a queue of its own.
type tally struct {
	parts [64]struct {
		n atomic.Int64
		_ [120]byte
	}
}

func (t *tally) add(i int) { t.parts[i&63].n.Add(1) }
func (t *tally) sum() int64 {
	var s int64
	for i := range t.parts {
		s += t.parts[i].n.Load()
	}
	return s
}

// Looks every 100 µs, for a minute.
func until(done func() bool) error {
	for limit := now() + int64(time.Minute); !done(); time.Sleep(100 * time.Microsecond) {
		if now() > limit {
			return fmt.Errorf("tasks were lost, or never started")
		}
	}
	return nil
}

func busy(us float64) {
	for end := now() + int64(us*1e3); now() < end; {
	}
}

// A chain of dependent multiplications.
//
//go:noinline
func burn(steps uint64) uint64 {
	x := uint64(3)
	for i := uint64(0); i < steps; i++ {
		x *= x
	}
	return x
}

var burnSink uint64
var burnOnce sync.Once
var burnRate float64 // steps a µs on an undisturbed core: the fastest of several tries

func burnSteps(us float64) uint64 {
	burnOnce.Do(func() {
		const tried = 1_000_000
		burnSink += burn(tried)
		for i := 0; i < 5; i++ {
			begin := now()
			burnSink += burn(tried)
			burnRate = math.Max(burnRate, tried/(float64(now()-begin)*1e-3))
		}
	})
	return uint64(us * burnRate)
}

func quantile(sorted []float64, q float64) float64 {
	rank := int(math.Ceil(q * float64(len(sorted))))
	if rank < 1 {
		rank = 1
	}
	return sorted[rank-1]
}

func addLatencies(r *reading, us []float64) {
	sort.Float64s(us)
	r.Metrics["p50_us"] = quantile(us, 0.5)
	r.Metrics["p99_us"] = quantile(us, 0.99)
	for _, q := range []float64{0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999} {
		r.Curves["latency_us"] = append(r.Curves["latency_us"], [2]float64{q, quantile(us, q)})
	}
}

// The number in the line of a file of /proc/self that begins so.
func procNumber(file, begin string) float64 {
	f, err := os.Open("/proc/self/" + file)
	if err != nil {
		return 0
	}
	defer f.Close()
	var n float64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), begin) {
			_, _ = fmt.Sscan(strings.TrimPrefix(lines.Text(), begin), &n)
			break
		}
	}
	return n
}
func residentBytes() float64 { return procNumber("smaps_rollup", "Rss:") * 1024 }
func threadsNow() float64    { return procNumber("status", "Threads:") }
