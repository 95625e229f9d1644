package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

func switchesCases(k kind) []measured {
	var all []measured
	add := func(name string, run func(kind, ask) (reading, error)) {
		all = append(all, measured{k.name, "switch/" + name, func(a ask) (reading, error) { return run(k, a) }})
	}
	add("idle", withNothingToDo)
	add("trickle", trickle)
	add("load_10", func(k kind, a ask) (reading, error) { return underLoad(k, a, 0.1) })
	add("load_50", func(k kind, a ask) (reading, error) { return underLoad(k, a, 0.5) })
	add("saturated", saturated)
	add("oversubscribed_4x", saturated)
	if _, err := exec.LookPath("strace"); err == nil {
		add("futex", futexCalls)
	}
	for _, percent := range []int{10, 50, 80} {
		share := float64(percent) / 100
		all = append(all, measured{k.name, fmt.Sprintf("latency/at_%d", percent), func(a ask) (reading, error) { return latencyAt(k, a, share) }})
	}
	return all
}

func finish(r reading) reading {
	r.Metrics["switches"] = (r.Voluntary + r.Involuntary) / r.Tasks
	return r
}

func flood(p pool, count int, steps uint64) error {
	var ran tally
	for i := 0; i < count; i++ {
		i := i
		p.submit(func() {
			burn(steps)
			ran.add(i)
		})
	}
	return until(func() bool { return ran.sum() == int64(count) })
}

// step() each millisecond; the goroutine sleeps in between.
func eachMillisecond(count int, step func()) {
	next := time.Now()
	for i := 0; i < count; i++ {
		next = next.Add(time.Millisecond)
		time.Sleep(time.Until(next))
		step()
	}
}

func withNothingToDo(k kind, a ask) (reading, error) {
	p := k.open(a.workers, usualRoom)
	defer p.close()
	if err := flood(p, 10_000, 0); err != nil {
		return reading{}, err
	}
	eachMillisecond(20, func() { p.submit(func() {}) })
	time.Sleep(20 * time.Millisecond)
	var m meter
	m.start()
	time.Sleep(time.Duration(a.size) * time.Millisecond)
	return finish(m.stop(float64(a.size) / 1e3)), nil
}

func trickle(k kind, a ask) (reading, error) {
	p := k.open(a.workers, usualRoom)
	defer p.close()
	if err := flood(p, 100, 0); err != nil {
		return reading{}, err
	}
	some := a.size/4 + 1
	before := usageNow(false)
	eachMillisecond(some, func() {})
	alone := usageNow(false).minus(before).cpu / float64(some)
	var ran tally
	var m meter
	m.start()
	eachMillisecond(a.size, func() { p.submit(func() { ran.add(0) }) })
	err := until(func() bool { return ran.sum() == int64(a.size) })
	r := finish(m.stop(float64(a.size)))
	r.Metrics["submitter_cpu_us"] = alone * 1e6
	return r, err
}

func openLoop(k kind, a ask, share, seconds float64) (loadReading, error) {
	const serviceUs = 10
	w := place(a.workers)
	if err := w.keepWorkers(); err != nil {
		return loadReading{}, err
	}
	plan := loadPlan{arrivals: "poisson", rate: share * float64(a.workers) * 1e6 / serviceUs, seconds: seconds,
		burst: 1, seed: 1, serviceUs: serviceUs, generator: w.generator}
	return runLoad(k, a.workers, plan)
}

func counted(l loadReading) reading {
	return reading{Tasks: l.Tasks, Wall: l.Wall, CPU: math.Max(0, l.CPU), Voluntary: l.Voluntary, Involuntary: l.Involuntary,
		Metrics: map[string]float64{}, Curves: map[string][][2]float64{}}
}

func underLoad(k kind, a ask, share float64) (reading, error) {
	l, err := openLoop(k, a, share, math.Max(a.seconds, 0.1))
	if err != nil {
		return reading{}, err
	}
	return finish(counted(l)), nil
}

// Without quantiles where the generator lagged by more than 10 µs: such a run says nothing about latency.
func latencyAt(k kind, a ask, share float64) (reading, error) {
	l, err := openLoop(k, a, share, math.Max(a.seconds, 0.15))
	if err != nil {
		return reading{}, err
	}
	r := counted(l)
	us := func(h *histogram, q float64) float64 { return float64(h.at(q)) * 1e-3 }
	r.Metrics["lag_p99_us"] = us(&l.Lag, 0.99)
	if us(&l.Lag, 0.99) > 10 {
		return r, nil
	}
	r = finish(r)
	for name, q := range map[string]float64{"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999, "p9999_us": 0.9999} {
		if float64(l.Whole.Count)*(1-q) >= 10 {
			r.Metrics[name] = us(&l.Whole, q)
		}
	}
	r.Metrics["waited_p99_us"] = us(&l.Waited, 0.99)
	r.Metrics["ran_p99_us"] = us(&l.Ran, 0.99)
	r.Metrics["submit_p99_us"] = us(&l.Cost, 0.99)
	return r, nil
}

func saturated(k kind, a ask) (reading, error) {
	p := k.open(a.workers, usualRoom)
	defer p.close()
	steps := burnSteps(1)
	if err := flood(p, a.size/10+1, steps); err != nil {
		return reading{}, err
	}
	var m meter
	m.start()
	err := flood(p, a.size, steps)
	return finish(m.stop(float64(a.size))), err
}

// As switch/futex of weir-bench: strace counts, and twice as many tasks let start and end cancel out.
func futexCalls(k kind, a ask) (reading, error) {
	calls := func(name string, size int) (float64, error) {
		return tracedFutexCalls("block", "switch/"+name, "--peer", k.name, "--workers", strconv.Itoa(a.workers),
			"--size", strconv.Itoa(size))
	}
	each := func(name string, size int) (float64, error) {
		once, err := calls(name, size)
		if err != nil {
			return 0, err
		}
		twice, err := calls(name, 2*size)
		return math.Max(0, (twice-once)/float64(size)), err
	}
	var m meter
	m.start()
	trickled, err := each("trickle", a.size/10+1)
	if err != nil {
		return reading{}, err
	}
	flooded, err := each("saturated", a.size)
	if err != nil {
		return reading{}, err
	}
	r := m.stop(float64(a.size))
	r.Metrics["trickle"], r.Metrics["saturated"] = trickled, flooded
	return r, nil
}

func tracedFutexCalls(arguments ...string) (float64, error) {
	file, err := os.CreateTemp("", "weir-bench-strace-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	traced := exec.Command("strace", append([]string{"-f", "-c", "-e", "trace=futex", "--seccomp-bpf", "-o", file.Name(), self},
		arguments...)...)
	var said bytes.Buffer
	traced.Stderr = &said
	if err := traced.Run(); err != nil {
		return 0, fmt.Errorf("strace did not run the program to its end: %w: %s", err, said.String())
	}
	table, err := os.ReadFile(file.Name())
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(table), "\n") {
		words := strings.Fields(line)
		if len(words) >= 5 && words[len(words)-1] == "futex" {
			return strconv.ParseFloat(words[3], 64)
		}
	}
	if len(table) != 0 && !bytes.Contains(table, []byte("% time")) {
		return 0, errors.New("strace: " + string(table))
	}
	return 0, nil
}
