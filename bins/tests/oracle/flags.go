package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
)

func list(in string) row {
	set := pflag.NewFlagSet("x", pflag.ContinueOnError)
	values := set.StringSlice("x", nil, "")
	if err := set.Lookup("x").Value.Set(in); err != nil {
		return row{In: in, Error: err.Error()}
	}
	if *values == nil {
		*values = []string{}
	}
	return row{In: in, Out: *values, Text: set.Lookup("x").Value.String()}
}

// klogFlag sets one of klog's flags the way the daemons register them, and prints it back.
func klogFlag(name, in string) row {
	goflags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(goflags)
	value := pflag.PFlagFromGoFlag(goflags.Lookup(name)).Value
	if err := value.Set(in); err != nil {
		return row{In: in, Error: err.Error()}
	}
	return row{In: in, Text: value.String()}
}

func vmodule(in string) row   { return klogFlag("vmodule", in) }
func severity(in string) row  { return klogFlag("stderrthreshold", in) }
func backtrace(in string) row { return klogFlag("log_backtrace_at", in) }

type globRow struct {
	Pattern string `json:"pattern"`
	Name    string `json:"name"`
	Match   bool   `json:"match"`
}

func globRows() []globRow {
	var rows []globRow
	for _, g := range globs {
		for _, name := range strings.Fields(g.Names) {
			match, _ := filepath.Match(g.Pattern, name)
			rows = append(rows, globRow{g.Pattern, name, match})
		}
	}
	return rows
}

// sample is a command with one flag of every type. The Rust test declares the same one.
func sample() *cobra.Command {
	command := &cobra.Command{Use: "sample", Long: "Sample shows one flag of every type.", Run: func(*cobra.Command, []string) {}}
	flags := command.Flags()
	flags.String("name", "", "A `label` for it.")
	flags.String("mode", "grpc", "How it speaks.")
	flags.Int("port", 8090, "Where it listens.")
	flags.Int("count", 0, "How many.")
	flags.Bool("forever", false, "Whether it never ends.")
	flags.Bool("clean", true, "Whether it tidies up.")
	flags.Duration("keepalive", time.Hour, "How often it knocks.")
	flags.Duration("grace", 0, "How long it waits.")
	flags.Float32("qps", 0, "How fast.")
	flags.StringSlice("suites", nil, "Which ones.")
	flags.StringSlice("protocols", []string{"h2", "a,b"}, "Which others.")
	flags.Bool("old", true, "Gone.")
	if err := flags.MarkDeprecated("old", "it has no effect"); err != nil {
		panic(err)
	}
	flags.String("former", "x", "Renamed.")
	if err := flags.MarkDeprecated("former", "use --name"); err != nil {
		panic(err)
	}
	flags.Lookup("former").Hidden = false
	goflags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(goflags)
	for _, name := range []string{"v", "logtostderr", "log_file", "log_file_max_size", "stderrthreshold", "alsologtostderrthreshold"} {
		goflag := goflags.Lookup(name)
		goflag.Name = strings.ReplaceAll(goflag.Name, "_", "-")
		goflag.Usage = "Of klog."
		flags.AddGoFlag(goflag)
	}
	command.InitDefaultHelpFlag()
	return command
}

// resetKlog undoes what earlier command lines did to klog's variables, which are global.
func resetKlog() {
	goflags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(goflags)
	for name, value := range map[string]string{
		"v": "4", "logtostderr": "true", "log_file": "", "log_file_max_size": "1800", "stderrthreshold": "2", "alsologtostderrthreshold": "0",
	} {
		if err := goflags.Set(name, value); err != nil {
			panic(err)
		}
	}
}

func usageRow() any {
	resetKlog()
	return map[string]string{"usage": sample().UsageString()}
}

type commandLine struct {
	Args    []string          `json:"args"`
	Error   string            `json:"error,omitempty"`
	Notices string            `json:"notices,omitempty"`
	Set     map[string]string `json:"set,omitempty"`
	Rest    []string          `json:"rest,omitempty"`
}

func commandLineRows() []commandLine {
	var rows []commandLine
	for _, args := range commandLines {
		resetKlog()
		flags := sample().Flags()
		var notices bytes.Buffer
		flags.SetOutput(&notices)
		flags.Usage = func() {}
		row := commandLine{Args: args}
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, pflag.ErrHelp) {
				panic(fmt.Sprint("help is a flag of its own: ", args))
			}
			row.Error = err.Error()
		} else {
			row.Notices = notices.String()
			row.Set = map[string]string{}
			flags.Visit(func(f *pflag.Flag) { row.Set[f.Name] = f.Value.String() })
			row.Rest = flags.Args()
		}
		if _, err := json.Marshal(row); err != nil {
			panic(err)
		}
		rows = append(rows, row)
	}
	return rows
}

var commandLines = [][]string{
	{}, {"--name=x"}, {"--name", "x"}, {"--name="}, {"--name"}, {"--name", ""}, {"--name", "-x"}, {"--name", "--port=1"}, {"--name=a=b"},
	{"--port", "--name=x"}, {"--port=1", "--port=2"}, {"--port=0x10"}, {"--port="}, {"--port=x"}, {"--port=08090"}, {"--port=9223372036854775808"},
	{"--port"}, {"--port", "1", "--port"}, {"--port=a\"b"}, {"--port=a\nb"}, {"--port=é"},
	{"--forever"}, {"--forever", "false"}, {"--forever=false"}, {"--forever=T"}, {"--forever=yes"}, {"--forever="}, {"--clean=0"},
	{"--forever", "--", "--port=1"}, {"--", "--name"}, {"--"}, {"--port=1", "--", "--", "x"}, {"foo", "--port=1", "bar"}, {"help"}, {"-"}, {""}, {"", "--port=2"},
	{"--nosuch"}, {"--nosuch=1"}, {"--nosuch", "x"}, {"--Port=1"}, {"--log_file=x"}, {"---x"}, {"--=x"}, {"--=", "x"}, {"-x"}, {"-port=1"}, {"-logtostderr"}, {"-=x"},
	{"-v=2"}, {"-v2"}, {"-v", "2"}, {"--v=2"}, {"--v", "2"}, {"-v"}, {"-v="}, {"-v=x"}, {"--v=x"}, {"-v-1"}, {"-v", "-1"}, {"-v=0x1"}, {"-v2147483648"}, {"-vv"}, {"-v=2", "-v=3"},
	{"-h"}, {"--help"}, {"--help=false"}, {"--help=maybe"}, {"-hv3"}, {"-hx"}, {"-h=x"}, {"-h=false"}, {"-hh"}, {"--help", "--nosuch"}, {"-hv"}, {"-h="},
	{"--keepalive=1h0m0s"}, {"--keepalive=5"}, {"--keepalive="}, {"--keepalive=1d"}, {"--keepalive", "-1s"}, {"--keepalive=\"1\""},
	{"--qps=1e1"}, {"--qps=x"}, {"--qps="}, {"--qps=1e39"}, {"--qps=0.1"}, {"--qps=1e21"}, {"--qps=1e-7"}, {"--qps=16777216"}, {"--qps=-0"}, {"--qps=inf"},
	{"--suites=a,b"}, {"--suites=a", "--suites=b,c"}, {"--suites="}, {"--suites=", "--suites=a"}, {"--suites=a", "--suites="}, {"--suites=a\"b"}, {"--suites=\"a"}, {"--suites=\"a\" b"},
	{"--protocols=x"}, {"--protocols=x", "--protocols=y"}, {"--suites=a, b"}, {"--suites=\"a,b\",c d"}, {"--suites=\"a\"\"b\""}, {"--suites= a"}, {"--suites=a\nb"}, {"--suites=\"\""},
	{"--old"}, {"--old=false"}, {"--old", "--old"}, {"--old=x"}, {"--former=y"}, {"--old", "--former", "z"}, {"--old", "--nosuch"},
	{"--logtostderr=x"}, {"--logtostderr"}, {"--logtostderr="}, {"--log-file-max-size=-1"}, {"--log-file-max-size=0x10"}, {"--log-file-max-size=x"}, {"--log-file-max-size=18446744073709551616"},
	{"--stderrthreshold=warning"}, {"--stderrthreshold=x"}, {"--stderrthreshold="}, {"--log-file"}, {"--mode", "grpc", "--mode", "http-connect"}, {"-v=2x"}, {"-v=2", "x", "-v"},
}
