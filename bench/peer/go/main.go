// weir-bench-peer-go: goroutines and the two pools that Go programs are built from, beside weir. Speaks the protocol of
// bench/README.md: list, block, and for open loops capacity and load. Standard library only.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// What a block is asked to do; as bench::ask.
type ask struct {
	peer    string
	size    int
	workers int
	seconds float64
	quick   bool
}

// What a block measured; as bench::reading.
type reading struct {
	Tasks       float64                 `json:"tasks"`
	Wall        float64                 `json:"wall_s"`
	CPU         float64                 `json:"cpu_s"`
	Voluntary   float64                 `json:"voluntary"`
	Involuntary float64                 `json:"involuntary"`
	Allocations *float64                `json:"allocations"`
	Bytes       *float64                `json:"bytes"`
	Metrics     map[string]float64      `json:"metrics"`
	Curves      map[string][][2]float64 `json:"curves"`
}

type measured struct {
	peer, name string
	run        func(ask) (reading, error)
}

func version() string { return strings.TrimPrefix(runtime.Version(), "go") }

func everything() []measured {
	var all []measured
	for _, kind := range kinds {
		all = append(all, submitCases(kind)...)
		all = append(all, wakeCases(kind)...)
		all = append(all, memoryCases(kind)...)
		all = append(all, switchesCases(kind)...)
		all = append(all, loadCases(kind)...)
	}
	return append(all, forkCases()...)
}

func list() {
	for _, m := range everything() {
		line, _ := json.Marshal(map[string]string{"peer": m.peer, "version": version(), "case": m.name})
		fmt.Println(string(line))
	}
}

func block(arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("block: which case?")
	}
	var a ask
	options := flag.NewFlagSet("block", flag.ContinueOnError)
	options.StringVar(&a.peer, "peer", "Go", "who is measured")
	options.IntVar(&a.workers, "workers", runtime.NumCPU(), "its workers")
	options.IntVar(&a.size, "size", 0, "of one run")
	options.Float64Var(&a.seconds, "seconds", 0.3, "how long a loop is measured, about")
	options.BoolVar(&a.quick, "quick", false, "accepted: sizes are given")
	if err := options.Parse(arguments[1:]); err != nil {
		return err
	}
	if a.workers < 1 || a.workers > 1024 || a.size < 1 || !(a.seconds > 0) {
		return fmt.Errorf("block: %d workers, size %d, %v s: each must be more than nothing", a.workers, a.size, a.seconds)
	}
	for _, m := range everything() {
		if m.name == arguments[0] && m.peer == a.peer {
			runtime.GOMAXPROCS(a.workers)
			r, err := m.run(a)
			if err != nil {
				return err
			}
			return say(r)
		}
	}
	return fmt.Errorf("%s is in no case named %s", strconv.Quote(a.peer), arguments[0])
}

func say(x any) error {
	line, err := json.Marshal(x)
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(line))
	return err
}

func main() {
	err := errors.New("list, block, capacity or load?")
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "list":
			list()
			err = nil
		case "block":
			err = block(os.Args[2:])
		case "capacity":
			err = capacity(os.Args[2:])
		case "load":
			err = load(os.Args[2:])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
