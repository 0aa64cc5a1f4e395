#![expect(
    clippy::unwrap_used,
    reason = "a table that does not parse fails the test"
)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use serde_json::Value as Json;

use super::{Flag, FlagSet};
use crate::flags::error::FlagError;
use crate::flags::value::{GoDuration, KlogBool, KlogCount, Severity, Verbosity};

/// One field of every type that the generator of the tables has a flag for.
#[derive(Debug, Default)]
struct Sample {
    name: String,
    mode: String,
    port: i64,
    count: i64,
    forever: bool,
    clean: bool,
    keepalive: GoDuration,
    grace: GoDuration,
    qps: f32,
    suites: Vec<String>,
    protocols: Vec<String>,
    old: bool,
    former: String,
    v: Verbosity,
    logtostderr: KlogBool,
    log_file: String,
    log_file_max_size: KlogCount,
    stderrthreshold: Severity,
    alsologtostderrthreshold: Severity,
    help: bool,
}

/// The same flags as `sample` in tests/oracle/flags.go.
fn sample() -> FlagSet<Sample> {
    let mut former = Flag::new("former", "x", "Renamed.", |o: &mut Sample| &mut o.former)
        .deprecated("use --name");
    former.hidden = false;
    FlagSet::new([
        former,
        Flag::new("name", "", "A `label` for it.", |o| &mut o.name),
        Flag::new("mode", "grpc", "How it speaks.", |o| &mut o.mode),
        Flag::new("port", "8090", "Where it listens.", |o| &mut o.port),
        Flag::new("count", "0", "How many.", |o| &mut o.count),
        Flag::new("forever", "false", "Whether it never ends.", |o| {
            &mut o.forever
        }),
        Flag::new("clean", "true", "Whether it tidies up.", |o| &mut o.clean),
        Flag::new("keepalive", "1h", "How often it knocks.", |o| {
            &mut o.keepalive
        }),
        Flag::new("grace", "0", "How long it waits.", |o| &mut o.grace),
        Flag::new("qps", "0", "How fast.", |o| &mut o.qps),
        Flag::new("suites", "", "Which ones.", |o| &mut o.suites),
        Flag::new("protocols", "h2,\"a,b\"", "Which others.", |o| {
            &mut o.protocols
        }),
        Flag::new("old", "true", "Gone.", |o: &mut Sample| &mut o.old)
            .deprecated("it has no effect"),
        Flag::new("v", "4", "Of klog.", |o: &mut Sample| &mut o.v).shorthand('v'),
        Flag::new("logtostderr", "true", "Of klog.", |o| &mut o.logtostderr),
        Flag::new("log-file", "", "Of klog.", |o| &mut o.log_file),
        Flag::new("log-file-max-size", "1800", "Of klog.", |o| {
            &mut o.log_file_max_size
        }),
        Flag::new("stderrthreshold", "2", "Of klog.", |o| {
            &mut o.stderrthreshold
        }),
        Flag::new("alsologtostderrthreshold", "0", "Of klog.", |o| {
            &mut o.alsologtostderrthreshold
        }),
        Flag::new("help", "false", "help for sample", |o: &mut Sample| {
            &mut o.help
        })
        .shorthand('h'),
    ])
}

fn strings(json: &Json) -> Vec<String> {
    let items = json.as_array().into_iter().flatten();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn command_lines_read_as_with_pflag() {
    let set = sample();
    let table = include_str!("../../../tests/oracle/tables/command_lines.json");
    let table: Json = serde_json::from_str(table).unwrap();
    for row in table.as_array().unwrap() {
        let args = strings(&row["args"]);
        let answer = set.parse(args.iter().map(OsString::from));
        let (mut options, parsed) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                assert_eq!(
                    Some(error.to_string().as_str()),
                    row["error"].as_str(),
                    "for {args:?}"
                );
                continue;
            }
        };
        assert_eq!(row["error"], Json::Null, "{args:?} was taken");
        assert_eq!(parsed.positionals, strings(&row["rest"]), "for {args:?}");
        let notices: String = parsed.notices.iter().map(|n| format!("{n}\n")).collect();
        assert_eq!(
            notices,
            row["notices"].as_str().unwrap_or_default(),
            "for {args:?}"
        );
        let empty = serde_json::Map::new();
        let given = row["set"].as_object().unwrap_or(&empty);
        assert!(parsed.given.iter().eq(given.keys()), "for {args:?}");
        for (name, value) in given {
            let flag = set.flags.iter().find(|flag| flag.name == name).unwrap();
            let printed = (flag.value)(&mut options).print();
            if name == "qps" {
                // Go prints floats in its own way, which no usage text shows.
                let number = |text: &str| text.parse::<f32>().unwrap();
                assert_eq!(
                    number(&printed),
                    number(value.as_str().unwrap()),
                    "for {args:?}"
                );
            } else {
                assert_eq!(Some(printed.as_str()), value.as_str(), "for {args:?}");
            }
        }
    }
}

#[test]
fn the_usage_text_is_laid_out_as_by_cobra() {
    let table = include_str!("../../../tests/oracle/tables/usage.json");
    let table: Json = serde_json::from_str(table).unwrap();
    assert_eq!(sample().usage("sample"), table["usage"].as_str().unwrap());
}

#[test]
fn the_printed_empty_list_is_the_empty_list() {
    let (options, _) = sample().parse(["--protocols=[]".into()]).unwrap();
    assert_eq!(options.protocols, [""; 0]);
}

#[test]
fn an_argument_that_is_no_text_is_refused() {
    let argument = OsString::from_vec(b"--name=\xff".to_vec());
    let error = sample().parse([argument.clone()]).unwrap_err();
    assert_eq!(error, FlagError::NotText(argument));
}
