package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Open loops are asked for with load and capacity, not with block.
func loadCases(k kind) []measured {
	return []measured{{k.name, "latency/load", func(ask) (reading, error) {
		return reading{}, errors.New("ask with load or capacity, not with block")
	}}}
}

type loadPlan struct {
	arrivals  string
	rate      float64
	seconds   float64
	burst     int
	seed      uint64
	serviceUs float64
	generator int // a core; -1: any
}

// As bench::load_reading, in nanoseconds.
type loadReading struct {
	Tasks       float64   `json:"tasks"`
	Wall        float64   `json:"wall_s"`
	Drained     float64   `json:"drained_s"`
	CPU         float64   `json:"cpu_s"`
	Voluntary   float64   `json:"voluntary"`
	Involuntary float64   `json:"involuntary"`
	Waited      histogram `json:"waited"`
	Ran         histogram `json:"ran"`
	Whole       histogram `json:"whole"`
	Cost        histogram `json:"cost"`
	Behind      histogram `json:"behind"`
	Lag         histogram `json:"lag"`
}

// SplitMix64, as bench::splitmix.
type splitmix uint64

func (s *splitmix) next() uint64 {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}
func (s *splitmix) openUnit() float64 { return float64((s.next()>>11)+1) / (1 << 53) }

const mostArrivals = 5e6

// As bench::arrivals: nanoseconds from the start.
func arrivalsOf(p loadPlan) ([]int64, error) {
	if !(p.rate > 0) || math.IsInf(p.rate, 0) {
		return nil, errors.New("the rate must be more than 0 tasks a second")
	}
	if !(p.seconds > 0) || math.IsInf(p.seconds, 0) {
		return nil, errors.New("the duration must be more than 0 s")
	}
	if p.rate*p.seconds > mostArrivals {
		return nil, errors.New("more than 5 million arrivals: lower the rate or the duration")
	}
	together := 1
	switch p.arrivals {
	case "constant", "poisson":
	case "bursts":
		together = p.burst
	default:
		return nil, fmt.Errorf("arrivals are constant, poisson or bursts, not %s", strconv.Quote(p.arrivals))
	}
	if together < 1 {
		return nil, errors.New("a burst needs at least one task")
	}
	gap, end := 1e9/p.rate*float64(together), p.seconds*1e9
	random := splitmix(p.seed)
	drawn := func() float64 { return -math.Log(random.openUnit()) * gap }
	at := make([]int64, 0, int(p.rate*p.seconds*1.01)+1000)
	t := 0.0
	if p.arrivals != "constant" {
		t = drawn()
	}
	for n := 1; t < end; n++ {
		for i := 0; i < together; i++ {
			at = append(at, int64(t))
		}
		if p.arrivals == "constant" {
			t = float64(n) * gap
		} else {
			t += drawn()
		}
	}
	if len(at) == 0 {
		return nil, errors.New("no task arrives: raise the rate or the duration")
	}
	return at, nil
}

// What a task noted; end is 0 until it has ended.
type slot struct{ start, end int64 }

func warmUp(p pool, steps uint64) error {
	for end := now() + 30e6; now() < end; {
		if err := flood(p, 64, steps); err != nil {
			return err
		}
	}
	return nil
}

// The generator is a goroutine that has a thread, a processor of Go's and a core to itself.
func runLoad(k kind, workers int, plan loadPlan) (loadReading, error) {
	due, err := arrivalsOf(plan)
	if err != nil {
		return loadReading{}, err
	}
	runtime.GOMAXPROCS(workers + 1)
	p := k.open(workers, usualRoom)
	steps := burnSteps(plan.serviceUs)
	slots := make([]slot, len(due))
	for i := range slots {
		slots[i].start = -1 // touches the page
	}
	if err := warmUp(p, steps); err != nil {
		return loadReading{}, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := pinThread(plan.generator); err != nil {
		return loadReading{}, err
	}
	var r loadReading
	used := usageNow(true)
	begin := now() + 100e3
	countFrom := begin + int64(0.1*plan.seconds*1e9)
	freeSince := int64(0)
	for i, ns := range due {
		at := begin + ns
		t := now()
		for t < at {
			t = now()
		}
		s := &slots[i]
		p.submit(func() {
			start := now()
			burn(steps)
			s.start = start
			atomic.StoreInt64(&s.end, now())
		})
		back := now()
		if at >= countFrom {
			late := at
			if freeSince > at {
				late = freeSince
			}
			r.Behind.add(t - at)
			r.Lag.add(t - late)
			r.Cost.add(back - t)
		}
		freeSince = back
	}
	last := now()
	limit := last + 20e9
	ended := 0
	for ended < len(slots) {
		if atomic.LoadInt64(&slots[ended].end) != 0 {
			ended++
		} else if now() > limit {
			return r, errors.New("tasks had not ended 20 s after the last arrival")
		}
	}
	end := now()
	spent := usageNow(true).minus(used)
	for i, s := range slots {
		if at := begin + due[i]; at >= countFrom {
			r.Waited.add(s.start - at)
			r.Ran.add(s.end - s.start)
			r.Whole.add(s.end - at)
		}
	}
	p.close()
	r.Tasks = float64(len(due))
	r.Wall = float64(end-begin) * 1e-9
	r.Drained = float64(end-last) * 1e-9
	r.CPU, r.Voluntary, r.Involuntary = math.Max(0, spent.cpu), math.Max(0, spent.voluntary), math.Max(0, spent.involuntary)
	return r, nil
}

func runCapacity(k kind, workers int, plan loadPlan) (float64, error) {
	if !(plan.seconds > 0) {
		return 0, errors.New("the duration must be more than 0 s")
	}
	runtime.GOMAXPROCS(workers + 1)
	p := k.open(workers, usualRoom)
	steps := burnSteps(plan.serviceUs)
	if err := warmUp(p, steps); err != nil {
		return 0, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := pinThread(plan.generator); err != nil {
		return 0, err
	}
	var ran tally
	inFlight := int64(64 * workers)
	var sent, ended int64
	var rates []float64
	for stretch := 0; stretch < 5; stretch++ {
		begin, atBegin := now(), ran.sum()
		for until := begin + int64(plan.seconds/5*1e9); now() < until; {
			for sent-ended >= inFlight {
				if ended = ran.sum(); now() > until+20e9 {
					return 0, errors.New("the pool does not get on with its tasks")
				}
			}
			i := int(sent)
			p.submit(func() {
				burn(steps)
				ran.add(i)
			})
			sent++
		}
		rates = append(rates, float64(ran.sum()-atBegin)/(float64(now()-begin)*1e-9))
	}
	if err := until(func() bool { return ran.sum() == sent }); err != nil {
		return 0, err
	}
	p.close()
	sort.Float64s(rates)
	return rates[2], nil
}

func askedFor(what string, arguments []string) (k kind, workers int, plan loadPlan, err error) {
	options := flag.NewFlagSet(what, flag.ContinueOnError)
	name := options.String("peer", "Go", "who is measured")
	options.IntVar(&workers, "workers", 1, "its workers")
	options.StringVar(&plan.arrivals, "arrivals", "poisson", "constant, poisson or bursts")
	options.Float64Var(&plan.rate, "rate", 1000, "tasks a second")
	options.Float64Var(&plan.seconds, "seconds", 1, "how long")
	options.IntVar(&plan.burst, "burst", 32, "tasks of a burst")
	options.Uint64Var(&plan.seed, "seed", 1, "of the arrivals")
	options.Float64Var(&plan.serviceUs, "service-us", 10, "each task's own work")
	options.IntVar(&plan.generator, "generator-core", -1, "where the generator runs")
	if err = options.Parse(arguments); err != nil {
		return
	}
	if workers < 1 || workers > 1024 || !(plan.serviceUs >= 0) {
		err = fmt.Errorf("%s: %d workers, %v µs of work", what, workers, plan.serviceUs)
		return
	}
	for _, k = range kinds {
		if k.name == *name {
			return
		}
	}
	err = fmt.Errorf("no peer is named %s", strconv.Quote(*name))
	return
}

func capacity(arguments []string) error {
	k, workers, plan, err := askedFor("capacity", arguments)
	if err != nil {
		return err
	}
	rate, err := runCapacity(k, workers, plan)
	if err != nil {
		return err
	}
	return say(map[string]float64{"tasks_per_s": rate})
}

func load(arguments []string) error {
	k, workers, plan, err := askedFor("load", arguments)
	if err != nil {
		return err
	}
	r, err := runLoad(k, workers, plan)
	if err != nil {
		return err
	}
	return say(r)
}

// ---- cores, as bench::placement --------------------------------------------------------------------------------------

type cpuSet [16]uint64

func (s *cpuSet) set(core int)      { s[core/64] |= 1 << (core % 64) }
func (s *cpuSet) has(core int) bool { return s[core/64]&(1<<(core%64)) != 0 }

func setAffinity(thread int, s *cpuSet) error {
	_, _, e := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, uintptr(thread), unsafe.Sizeof(*s), uintptr(unsafe.Pointer(s)))
	if e != 0 {
		return fmt.Errorf("cannot stay on the cores that were asked for: %w", e)
	}
	return nil
}

// The calling thread, which must be locked.
func pinThread(core int) error {
	if core < 0 {
		return nil
	}
	if core >= 1024 {
		return fmt.Errorf("there is no core %d", core)
	}
	var s cpuSet
	s.set(core)
	return setAffinity(0, &s)
}

type placement struct {
	generator int
	workers   cpuSet
}

// The last core generates; workers have the others, or all when they are too many for that.
func place(workers int) placement {
	p := placement{generator: -1}
	_, _, e := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(p.workers),
		uintptr(unsafe.Pointer(&p.workers)))
	if e != 0 {
		return p
	}
	count := 0
	for c := 0; c < 1024; c++ {
		if p.workers.has(c) {
			p.generator = c
			count++
		}
	}
	if count > workers {
		p.workers[p.generator/64] &^= 1 << (p.generator % 64)
	}
	return p
}

// All threads that there are; later ones inherit it.
func (p placement) keepWorkers() error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil || p.generator < 0 {
		return err
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			if err := setAffinity(id, &p.workers); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	return nil
}
