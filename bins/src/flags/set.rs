//! A table of flags and how a command line is read with it: pflag's rules.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsString;

use super::error::FlagError;
use super::value::Value;

/// A flag of a program whose options are an `O`.
#[derive(Debug)]
pub struct Flag<O> {
    pub(super) name: &'static str,
    pub(super) shorthand: Option<char>,
    pub(super) default: Cow<'static, str>,
    pub(super) usage: &'static str,
    pub(super) deprecated: Option<&'static str>,
    pub(super) hidden: bool,
    pub(super) value: fn(&mut O) -> &mut dyn Value,
}

impl<O> Flag<O> {
    /// A flag `--name` with the default that `default` reads as and a sentence for the usage text, stored in the
    /// field that `value` points to. A word in backquotes in `usage` stands there for the value.
    pub fn new(
        name: &'static str,
        default: impl Into<Cow<'static, str>>,
        usage: &'static str,
        value: fn(&mut O) -> &mut dyn Value,
    ) -> Self {
        Self {
            name,
            shorthand: None,
            default: default.into(),
            usage,
            deprecated: None,
            hidden: false,
            value,
        }
    }

    /// Gives the flag a one-letter form as well.
    #[must_use]
    pub fn shorthand(self, letter: char) -> Self {
        Self {
            shorthand: Some(letter),
            ..self
        }
    }

    /// Leaves the flag out of the usage text and prints a line with `advice` when it is used.
    #[must_use]
    pub fn deprecated(self, advice: &'static str) -> Self {
        Self {
            deprecated: Some(advice),
            hidden: true,
            ..self
        }
    }

    /// What pflag calls the flag where a value is wrong.
    fn title(&self) -> String {
        match self.shorthand {
            Some(letter) => format!("-{letter}, --{}", self.name),
            None => format!("--{}", self.name),
        }
    }
}

/// All flags of a program.
#[derive(Debug)]
pub struct FlagSet<O> {
    pub(super) flags: Vec<Flag<O>>,
}

/// What a command line says besides the values of flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The names of the flags that were given.
    pub given: BTreeSet<&'static str>,
    /// Lines for standard error about deprecated flags.
    pub notices: Vec<String>,
    /// The arguments that belong to no flag. The reference ignores them.
    pub positionals: Vec<String>,
}

impl<O: Default> FlagSet<O> {
    /// The set of these flags.
    pub fn new(flags: impl IntoIterator<Item = Flag<O>>) -> Self {
        let mut flags: Vec<Flag<O>> = flags.into_iter().collect();
        flags.sort_by_key(|flag| flag.name);
        Self { flags }
    }

    /// The options when no flag is given.
    pub fn defaults(&self) -> O {
        let mut options = O::default();
        for flag in &self.flags {
            (flag.value)(&mut options)
                .set(&flag.default, false)
                .expect("the default in a table of flags is a value of its flag");
        }
        options
    }

    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<(O, Parsed), FlagError> {
        let mut line = Line {
            set: self,
            options: self.defaults(),
            parsed: Parsed::default(),
        };
        let mut arguments = arguments
            .into_iter()
            .map(|argument| argument.into_string().map_err(FlagError::NotText));
        while let Some(argument) = arguments.next().transpose()? {
            if argument == "--" {
                let rest: Result<Vec<String>, FlagError> = arguments.collect();
                line.parsed.positionals.extend(rest?);
                break;
            }
            if let Some(long) = argument.strip_prefix("--") {
                line.long(long, &mut arguments)?;
            } else if let Some(letters) = argument.strip_prefix('-').filter(|l| !l.is_empty()) {
                line.letters(letters, &mut arguments)?;
            } else {
                line.parsed.positionals.push(argument);
            }
        }
        Ok((line.options, line.parsed))
    }
}

impl<O> FlagSet<O> {
    /// The flags that a command line gave, each with its value as text.
    pub fn given(&self, options: &mut O, parsed: &Parsed) -> Vec<(&'static str, String)> {
        self.flags
            .iter()
            .filter(|flag| parsed.given.contains(flag.name))
            .map(|flag| (flag.name, (flag.value)(options).print()))
            .collect()
    }

    /// The flags that the usage text shows, each with what it is for.
    pub fn descriptions(&self) -> Vec<(&'static str, &'static str)> {
        self.flags
            .iter()
            .filter(|flag| !flag.hidden)
            .map(|flag| (flag.name, flag.usage))
            .collect()
    }
}

/// A command line while it is read.
struct Line<'a, O> {
    set: &'a FlagSet<O>,
    options: O,
    parsed: Parsed,
}

type Arguments<'a> = &'a mut dyn Iterator<Item = Result<String, FlagError>>;

impl<O> Line<'_, O> {
    /// Reads `--name=value`, `--name value` or `--name`, given without its hyphens.
    fn long(&mut self, text: &str, arguments: Arguments<'_>) -> Result<(), FlagError> {
        if text.starts_with(['-', '=']) {
            return Err(FlagError::Syntax(format!("--{text}")));
        }
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let flag = self
            .set
            .flags
            .iter()
            .find(|flag| flag.name == name)
            .ok_or_else(|| FlagError::Unknown(name.to_owned()))?;
        let value = match attached.or_else(|| self.bare(flag)) {
            Some(value) => value,
            None => arguments
                .next()
                .transpose()?
                .ok_or_else(|| FlagError::MissingValue(name.to_owned()))?,
        };
        self.set(flag, &value)
    }

    /// Reads one-letter flags, given without their hyphen: `v=2`, `v2`, `v` before a value, `h` and so on, several
    /// in a row if all but the last need no value.
    fn letters(&mut self, mut letters: &str, arguments: Arguments<'_>) -> Result<(), FlagError> {
        while let Some(letter) = letters.chars().next() {
            let rest = &letters[letter.len_utf8()..];
            let Some(flag) = self
                .set
                .flags
                .iter()
                .find(|flag| flag.shorthand == Some(letter))
            else {
                return Err(FlagError::UnknownShorthand {
                    letter,
                    shorthands: letters.to_owned(),
                });
            };
            // A value after `=` may not be empty here: `-v=` is the value `=`.
            let attached = rest.strip_prefix('=').filter(|value| !value.is_empty());
            let value = if let Some(value) = attached {
                value.to_owned()
            } else if let Some(value) = self.bare(flag) {
                self.set(flag, &value)?;
                letters = rest;
                continue;
            } else if !rest.is_empty() {
                rest.to_owned()
            } else {
                arguments
                    .next()
                    .transpose()?
                    .ok_or_else(|| FlagError::MissingShorthandValue {
                        letter,
                        shorthands: letters.to_owned(),
                    })?
            };
            return self.set(flag, &value);
        }
        Ok(())
    }

    fn bare(&mut self, flag: &Flag<O>) -> Option<String> {
        (flag.value)(&mut self.options).bare().map(str::to_owned)
    }

    fn set(&mut self, flag: &Flag<O>, value: &str) -> Result<(), FlagError> {
        let again = self.parsed.given.contains(flag.name);
        (flag.value)(&mut self.options)
            .set(value, again)
            .map_err(|cause| FlagError::InvalidValue {
                value: value.to_owned(),
                flag: flag.title(),
                cause,
            })?;
        self.parsed.given.insert(flag.name);
        if let Some(advice) = flag.deprecated {
            self.parsed.notices.push(format!(
                "Flag --{} has been deprecated, {advice}",
                flag.name
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
