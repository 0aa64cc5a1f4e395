//! The values of klog's own flags.

use std::fmt;

use thiserror::Error;

use super::glob;
use super::number::{NumberError, parse_decimal};

/// How grave a log line is. Ordered: a threshold lets through what is at or above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Severity {
    /// 0 to 3 for info, warning, error and fatal; klog takes any number.
    pub level: i32,
}

impl Severity {
    /// Normal work.
    pub const INFO: Self = Self { level: 0 };
    /// Something to look at.
    pub const WARNING: Self = Self { level: 1 };
    /// Something failed.
    pub const ERROR: Self = Self { level: 2 };
    /// The process ends.
    pub const FATAL: Self = Self { level: 3 };

    /// Reads a name in any case, or a decimal number.
    ///
    /// # Errors
    /// As for a number that can't be read.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        match text.to_ascii_uppercase().as_str() {
            "INFO" => Ok(Self::INFO),
            "WARNING" => Ok(Self::WARNING),
            "ERROR" => Ok(Self::ERROR),
            "FATAL" => Ok(Self::FATAL),
            _ => parse_decimal(text).map(|level| Self { level }),
        }
    }
}

/// Verbosity by source file: `link=6,serve*=5`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VModule {
    patterns: Vec<(String, i32)>,
}

impl VModule {
    /// Reads a comma list of `pattern=N`; empty items are skipped and so is a level of zero.
    ///
    /// # Errors
    /// Which rule of klog's an item breaks.
    pub fn parse(text: &str) -> Result<Self, VModuleError> {
        let mut patterns = Vec::new();
        for item in text.split(',').filter(|item| !item.is_empty()) {
            let (pattern, level) = item.split_once('=').ok_or(VModuleError::Syntax)?;
            if pattern.is_empty() {
                return Err(VModuleError::Syntax);
            }
            let level = parse_decimal(level).map_err(|_| VModuleError::Syntax)?;
            match level {
                ..0 => return Err(VModuleError::NegativeLevel),
                0 => {}
                1.. => patterns.push((pattern.to_owned(), level)),
            }
        }
        Ok(Self { patterns })
    }

    /// The level for the source file whose name without extension is `file`: that of the first pattern that matches.
    pub fn level_for(&self, file: &str) -> Option<i32> {
        self.patterns
            .iter()
            .find(|(pattern, _)| glob::matches(pattern, file))
            .map(|(_, level)| *level)
    }

    /// The highest level any pattern gives.
    pub fn highest(&self) -> Option<i32> {
        self.patterns.iter().map(|(_, level)| *level).max()
    }
}

impl fmt::Display for VModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (pattern, level)) in self.patterns.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{pattern}={level}")?;
        }
        Ok(())
    }
}

/// Why a text is not a list of verbosities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VModuleError {
    /// An item is not `pattern=N`.
    #[error("syntax error: expect comma-separated list of filename=N")]
    Syntax,
    /// N is below zero.
    #[error("negative value for vmodule level")]
    NegativeLevel,
}

/// The line of source code whose log lines come with a stack trace: `link.rs:12`. By default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceLocation {
    file: String,
    line: u32,
}

impl TraceLocation {
    /// Reads `file.rs:N`; the empty text is no place.
    ///
    /// # Errors
    /// Which rule of klog's the text breaks.
    pub fn parse(text: &str) -> Result<Self, TraceLocationError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (file, line) = text.split_once(':').ok_or(TraceLocationError::Syntax)?;
        if !file.contains('.') {
            return Err(TraceLocationError::Syntax);
        }
        let line = parse_decimal(line).map_err(|_| TraceLocationError::Syntax)?;
        match u32::try_from(line) {
            Ok(line @ 1..) => Ok(Self {
                file: file.to_owned(),
                line,
            }),
            Ok(0) | Err(_) => Err(TraceLocationError::NotPositive),
        }
    }

    /// Whether this is line `line` of the file whose name without directory is `file`.
    pub fn is_at(&self, file: &str, line: u32) -> bool {
        self.line > 0 && self.line == line && self.file == file
    }
}

impl fmt::Display for TraceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Why a text is not a line of source code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TraceLocationError {
    /// Not a file with an extension, a colon and a number.
    #[error("syntax error: expect file.go:234")]
    Syntax,
    /// Lines count from 1.
    #[error("negative or zero value for level")]
    NotPositive,
}

#[cfg(test)]
mod tests {
    use super::{Severity, TraceLocation, VModule};
    use crate::flags::oracle;

    #[test]
    fn severities_read_as_klog_does() {
        for row in oracle::rows(include_str!("../../../tests/oracle/tables/severities.json")) {
            row.check(Severity::parse(&row.input), |row, severity| {
                assert_eq!(severity.level.to_string(), row.text, "for {:?}", row.input);
            });
        }
    }

    #[test]
    fn verbosity_by_file_reads_as_klog_does() {
        for row in oracle::rows(include_str!("../../../tests/oracle/tables/vmodules.json")) {
            row.check(VModule::parse(&row.input), |row, vmodule| {
                assert_eq!(vmodule.to_string(), row.text, "for {:?}", row.input);
            });
        }
    }

    #[test]
    fn trace_locations_read_as_klog_does() {
        for row in oracle::rows(include_str!("../../../tests/oracle/tables/backtraces.json")) {
            row.check(TraceLocation::parse(&row.input), |row, location| {
                assert_eq!(location.to_string(), row.text, "for {:?}", row.input);
            });
        }
    }

    #[test]
    fn the_first_pattern_that_matches_decides() {
        let vmodule = VModule::parse("link*=6,link=9,other=5").expect("well-formed");
        assert_eq!(vmodule.level_for("link"), Some(6));
        assert_eq!(vmodule.level_for("other"), Some(5));
        assert_eq!(vmodule.level_for("another"), None);
        assert_eq!(vmodule.highest(), Some(9));
    }
}
