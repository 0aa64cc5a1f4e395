//! The form of a profile that `go tool pprof` reads: `perftools.profiles.Profile`, as gzip
//! (<https://github.com/google/pprof/blob/main/proto/profile.proto>).

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use pprof::{Report, Symbol};
use prost::Message;

/// The profile of `report`.
pub(super) fn encode(report: &Report) -> io::Result<Vec<u8>> {
    let mut file = GzEncoder::new(Vec::new(), Compression::default());
    file.write_all(&profile(report).encode_to_vec())?;
    file.finish()
}

fn profile(report: &Report) -> Profile {
    let period = 1_000_000_000 / i64::from(report.timing.frequency.max(1));
    let mut tables = Tables::new();
    let mut samples: Vec<_> = report
        .data
        .iter()
        .map(|(stack, count)| {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            let thread = Label {
                key: tables.text("thread"),
                str: tables.text(&stack.thread_name_or_id()),
            };
            Sample {
                // What was inlined at one address is several functions of it, the innermost first.
                location_id: stack
                    .frames
                    .iter()
                    .map(|frame| tables.location(frame))
                    .collect(),
                value: vec![count, count.saturating_mul(period)],
                label: vec![thread],
            }
        })
        .collect();
    samples.sort_by_key(|sample| std::cmp::Reverse(sample.value.first().copied()));
    let cpu = ValueType {
        r#type: tables.text("cpu"),
        unit: tables.text("nanoseconds"),
    };
    let count = ValueType {
        r#type: tables.text("samples"),
        unit: tables.text("count"),
    };
    Profile {
        sample_type: vec![count, cpu.clone()],
        sample: samples,
        time_nanos: nanoseconds_since_1970(report.timing.start_time),
        duration_nanos: i64::try_from(report.timing.duration.as_nanos()).unwrap_or(i64::MAX),
        period_type: Some(cpu),
        period,
        location: tables.locations,
        function: tables.functions,
        string_table: tables.texts,
    }
}

fn nanoseconds_since_1970(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// What samples refer to by number, each thing once. Texts begin at 0, the rest at 1.
struct Tables {
    texts: Vec<String>,
    text_ids: HashMap<String, i64>,
    functions: Vec<Function>,
    function_ids: HashMap<(i64, i64), u64>,
    locations: Vec<Location>,
    location_ids: HashMap<Vec<Line>, u64>,
}

impl Tables {
    fn new() -> Self {
        let mut tables = Self {
            texts: Vec::new(),
            text_ids: HashMap::new(),
            functions: Vec::new(),
            function_ids: HashMap::new(),
            locations: Vec::new(),
            location_ids: HashMap::new(),
        };
        // The first text has to be the empty one.
        tables.text("");
        tables
    }

    fn text(&mut self, text: &str) -> i64 {
        if let Some(id) = self.text_ids.get(text) {
            return *id;
        }
        let id = i64::try_from(self.texts.len()).unwrap_or(i64::MAX);
        self.texts.push(text.to_owned());
        self.text_ids.insert(text.to_owned(), id);
        id
    }

    fn function(&mut self, symbol: &Symbol) -> u64 {
        let name = self.text(&symbol.name());
        let filename = self.text(&symbol.filename());
        let functions = &mut self.functions;
        *self
            .function_ids
            .entry((name, filename))
            .or_insert_with(|| {
                let id = functions.len() as u64 + 1;
                functions.push(Function {
                    id,
                    name,
                    system_name: name,
                    filename,
                });
                id
            })
    }

    fn location(&mut self, symbols: &[Symbol]) -> u64 {
        let lines: Vec<_> = symbols
            .iter()
            .map(|symbol| Line {
                function_id: self.function(symbol),
                line: i64::from(symbol.lineno()),
            })
            .collect();
        let locations = &mut self.locations;
        *self.location_ids.entry(lines).or_insert_with_key(|lines| {
            let id = locations.len() as u64 + 1;
            locations.push(Location {
                id,
                line: lines.clone(),
            });
            id
        })
    }
}

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// The functions that a sample of an encoded profile refers to.
#[cfg(test)]
pub(super) fn decoded_function_names(file: &[u8]) -> Vec<String> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(file);
    reader.read_to_end(&mut bytes).expect("a gzip file");
    let profile = Profile::decode(&*bytes).expect("a profile");
    let functions = profile
        .sample
        .iter()
        .flat_map(|sample| &sample.location_id)
        .flat_map(|id| profile.location.iter().find(|location| location.id == *id))
        .flat_map(|location| &location.line)
        .flat_map(|line| {
            profile
                .function
                .iter()
                .find(|function| function.id == line.function_id)
        });
    let names = functions.flat_map(|function| usize::try_from(function.name));
    let names: std::collections::BTreeSet<_> = names.collect();
    names
        .into_iter()
        .map(|name| profile.string_table[name].clone())
        .collect()
}
