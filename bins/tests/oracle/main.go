// Writes the tables that the Rust flag parsers are tested against: what Go, pflag, cobra, klog and apimachinery
// answer to many inputs. Run `go run .` in this folder; the tables go to tables/.
package main

import (
	"encoding/json"
	"log"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// A row is one input with its result or its error.
type row struct {
	In    string `json:"in"`
	Out   any    `json:"out,omitempty"`
	Text  string `json:"text,omitempty"`
	Error string `json:"error,omitempty"`
}

func answer(in string, out any, text string, err error) row {
	if err != nil {
		return row{In: in, Error: err.Error()}
	}
	return row{In: in, Out: out, Text: text}
}

func write(name string, rows any) {
	data, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		log.Fatal(err)
	}
	path := filepath.Join("tables", name+".json")
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		log.Fatal(err)
	}
}

func each(inputs []string, f func(string) row) []row {
	var rows []row
	for _, in := range inputs {
		rows = append(rows, f(in))
	}
	return rows
}

func main() {
	if err := os.MkdirAll("tables", 0o755); err != nil {
		log.Fatal(err)
	}
	write("durations", each(durations, func(in string) row {
		d, err := time.ParseDuration(in)
		return answer(in, int64(d), d.String(), err)
	}))
	write("integers", each(integers, func(in string) row {
		n, err := strconv.ParseInt(in, 0, 64)
		return answer(in, n, "", err)
	}))
	write("decimals", each(integers, func(in string) row {
		n, err := strconv.ParseInt(in, 10, 32)
		return answer(in, n, "", err)
	}))
	write("unsigned", each(integers, func(in string) row {
		n, err := strconv.ParseUint(in, 0, 64)
		return answer(in, n, "", err)
	}))
	write("booleans", each(booleans, func(in string) row {
		b, err := strconv.ParseBool(in)
		return answer(in, b, "", err)
	}))
	write("floats", each(floats, func(in string) row {
		f, err := strconv.ParseFloat(in, 32)
		if err == nil && math.IsNaN(f) {
			return row{In: in, Text: "NaN"}
		}
		return answer(in, math.Float32bits(float32(f)), strconv.FormatFloat(f, 'g', -1, 32), err)
	}))
	write("lists", each(lists, list))
	write("selectors", each(selectors, func(in string) row {
		s, err := labels.Parse(in)
		if err != nil {
			return answer(in, nil, "", err)
		}
		return answer(in, len(requirements(s)), s.String(), nil)
	}))
	write("quotes", each(quotes, func(in string) row {
		return row{In: in, Text: strconv.Quote(in)}
	}))
	write("globs", globRows())
	write("vmodules", each(vmodules, vmodule))
	write("severities", each(severities, severity))
	write("backtraces", each(backtraces, backtrace))
	write("command_lines", commandLineRows())
	write("usage", usageRow())
}

func requirements(s labels.Selector) labels.Requirements {
	r, _ := s.Requirements()
	return r
}
