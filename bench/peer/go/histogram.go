package main

import (
	"encoding/json"
	"math"
	"math/bits"
)

// As bench::histogram: the same buckets, so that weir-bench can merge and read them.
type histogram struct {
	counts          []uint64
	Count           uint64
	least, greatest uint64
	sum             float64
}

const (
	precision = 7
	perOctave = 1 << precision
	topBit    = 42
	buckets   = (topBit - precision + 1) * perOctave
)

func bucketOf(v uint64) int {
	if v >= 1<<topBit {
		v = 1<<topBit - 1
	}
	if v < perOctave {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - precision
	return shift*perOctave + int(v>>shift)
}

func highestIn(bucket int) uint64 {
	if bucket < perOctave {
		return uint64(bucket)
	}
	shift := bucket/perOctave - 1
	return (uint64(bucket-shift*perOctave)+1)<<shift - 1
}

// What is below 0 counts as 0.
func (h *histogram) add(ns int64) {
	v := uint64(0)
	if ns > 0 {
		v = uint64(ns)
	}
	if h.counts == nil {
		h.counts = make([]uint64, buckets)
		h.least = math.MaxUint64
	}
	h.counts[bucketOf(v)]++
	h.Count++
	h.sum += float64(v)
	if v < h.least {
		h.least = v
	}
	if v > h.greatest {
		h.greatest = v
	}
}

func (h *histogram) at(q float64) uint64 {
	rank := uint64(math.Max(1, math.Ceil(q*float64(h.Count)-1e-6)))
	seen := uint64(0)
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			if high := highestIn(i); high < h.greatest {
				return high
			}
			break
		}
	}
	return h.greatest
}

func (h histogram) MarshalJSON() ([]byte, error) {
	sparse := [][2]uint64{}
	for i, n := range h.counts {
		if n != 0 {
			sparse = append(sparse, [2]uint64{uint64(i), n})
		}
	}
	least := h.least
	if h.Count == 0 {
		least = 0
	}
	return json.Marshal(map[string]any{"precision": precision, "count": h.Count, "least": least, "greatest": h.greatest,
		"sum": h.sum, "buckets": sparse})
}
