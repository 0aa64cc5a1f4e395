//! The types that a flag's value can have, each read and printed the way pflag does.

mod duration;
mod glob;
mod klog;
mod label;
mod list;
mod number;
mod selector;

use std::fmt;

use thiserror::Error;

pub use duration::{DurationError, GoDuration};
pub use klog::{Severity, TraceLocation, TraceLocationError, VModule, VModuleError};
pub(super) use label::{label_key_faults, label_value_faults, subdomain_faults};
pub use list::{ListError, QuoteFault};
pub use number::NumberError;
pub use selector::{InvalidPart, LabelSelector, SelectorError};

use super::quote::quote;

/// What a flag's value can do.
pub trait Value: fmt::Debug {
    /// Takes the value that `text` says. `again` tells that the command line has set it before.
    ///
    /// # Errors
    /// Why the text is no value of this type.
    fn set(&mut self, text: &str, again: bool) -> Result<(), ValueError>;

    /// The value as text, such that [`set`](Value::set) takes it.
    fn print(&self) -> String;

    /// What the usage text calls the type; empty for booleans.
    fn type_name(&self) -> &'static str;

    /// The text that stands for a flag given without any value.
    fn bare(&self) -> Option<&'static str> {
        None
    }

    /// The default as the usage text shows it; `None` for one that goes without saying.
    fn print_default(&self) -> Option<String> {
        let text = self.print();
        (!matches!(text.as_str(), "" | "0" | "0s" | "[]" | "false")).then_some(text)
    }
}

impl Value for String {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        text.clone_into(self);
        Ok(())
    }

    fn print(&self) -> String {
        self.clone()
    }

    fn type_name(&self) -> &'static str {
        "string"
    }

    fn print_default(&self) -> Option<String> {
        (!self.is_empty()).then(|| quote(self))
    }
}

impl Value for bool {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        *self = number::parse_bool(text)?;
        Ok(())
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn type_name(&self) -> &'static str {
        ""
    }

    fn bare(&self) -> Option<&'static str> {
        Some("true")
    }
}

/// Go's `int`, in base 0.
impl Value for i64 {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        *self = number::parse_int(text)?;
        Ok(())
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn type_name(&self) -> &'static str {
        "int"
    }
}

impl Value for f32 {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        *self = number::parse_float(text)?;
        Ok(())
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn type_name(&self) -> &'static str {
        "float32"
    }
}

impl Value for GoDuration {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        *self = Self::parse(text)?;
        Ok(())
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn type_name(&self) -> &'static str {
        "duration"
    }
}

/// A comma list. The first time on a command line it replaces the default, after that it adds.
///
/// `[]`, the printed form of the empty list, reads as that. The reference reads it as a list of one item `[]`, which
/// as an ALPN protocol is harmless there: its own test suite passes it.
impl Value for Vec<String> {
    fn set(&mut self, text: &str, again: bool) -> Result<(), ValueError> {
        let items = if text == "[]" {
            Self::new()
        } else {
            list::parse_record(text)?
        };
        if !again {
            self.clear();
        }
        self.extend(items);
        Ok(())
    }

    fn print(&self) -> String {
        list::print_list(self)
    }

    fn type_name(&self) -> &'static str {
        "strings"
    }
}

/// A string that may be given more than once, each time as one more. pflag, which knows no such thing, calls it a string
/// in its usage text and takes the last; with one there is no difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repeated(pub Vec<String>);

impl Value for Repeated {
    fn set(&mut self, text: &str, again: bool) -> Result<(), ValueError> {
        if !again {
            self.0.clear();
        }
        self.0.push(text.to_owned());
        Ok(())
    }

    fn print(&self) -> String {
        self.0.join(" ")
    }

    fn type_name(&self) -> &'static str {
        "string"
    }
}

impl Value for LabelSelector {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        *self = Self::parse(text)?;
        Ok(())
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn type_name(&self) -> &'static str {
        "selector"
    }
}

/// klog's verbosity: a decimal number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verbosity {
    /// The level; more is chattier.
    pub level: i32,
}

impl Value for Verbosity {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        self.level = number::parse_decimal(text)?;
        Ok(())
    }

    fn print(&self) -> String {
        self.level.to_string()
    }

    fn type_name(&self) -> &'static str {
        "Level"
    }
}

impl Value for Severity {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        *self = Self::parse(text)?;
        Ok(())
    }

    fn print(&self) -> String {
        self.level.to_string()
    }

    fn type_name(&self) -> &'static str {
        "severity"
    }
}

impl Value for VModule {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        *self = Self::parse(text)?;
        Ok(())
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn type_name(&self) -> &'static str {
        "moduleSpec"
    }
}

impl Value for TraceLocation {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        *self = Self::parse(text)?;
        Ok(())
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn type_name(&self) -> &'static str {
        "traceLocation"
    }
}

/// A boolean of klog's, which reads like any other and words its errors in Go's older way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KlogBool {
    /// Whether it is on.
    pub on: bool,
}

impl Value for KlogBool {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        self.on = number::parse_bool(text).map_err(|_| ValueError::Klog)?;
        Ok(())
    }

    fn print(&self) -> String {
        self.on.to_string()
    }

    fn type_name(&self) -> &'static str {
        ""
    }

    fn bare(&self) -> Option<&'static str> {
        Some("true")
    }
}

/// A number of klog's in base 0, without sign, which words its errors in Go's older way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KlogCount {
    /// The number.
    pub count: u64,
}

impl Value for KlogCount {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        self.count = number::parse_uint(text).map_err(|error| {
            if error.is_out_of_range() {
                ValueError::KlogRange
            } else {
                ValueError::Klog
            }
        })?;
        Ok(())
    }

    fn print(&self) -> String {
        self.count.to_string()
    }

    fn type_name(&self) -> &'static str {
        "uint"
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// klog's lines.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Value for LogFormat {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        *self = match text {
            "text" => Self::Text,
            "json" => Self::Json,
            _ => return Err(ValueError::LogFormat),
        };
        Ok(())
    }

    fn print(&self) -> String {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
        .to_owned()
    }

    fn type_name(&self) -> &'static str {
        "string"
    }

    fn print_default(&self) -> Option<String> {
        Some(quote(&self.print()))
    }
}

/// Why a text is not a value of a flag's type; where Go has words for it, in those.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValueError {
    /// Not a number or boolean.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// Not a duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// Not a comma list.
    #[error(transparent)]
    List(#[from] ListError),
    /// Not a label selector.
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// Not a list of verbosities.
    #[error(transparent)]
    VModule(#[from] VModuleError),
    /// Not a line of source code.
    #[error(transparent)]
    TraceLocation(#[from] TraceLocationError),
    /// Not a boolean or number of klog's.
    #[error("parse error")]
    Klog,
    /// A number of klog's that is too large.
    #[error("value out of range")]
    KlogRange,
    /// Not a log format.
    #[error("must be 'text' or 'json'")]
    LogFormat,
    /// Not a runtime.
    #[error("must be 'tokio' or 'smol'")]
    Runtime,
    /// A runtime that was left out.
    #[error("this program was built without smol, its cargo feature 'smol'")]
    #[cfg(not(feature = "smol"))]
    NoSmol,
}
