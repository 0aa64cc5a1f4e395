//! The usage text, laid out as pflag and cobra do.

use super::set::{Flag, FlagSet};

impl<O: Default> FlagSet<O> {
    /// How to call `program` and what each flag is for, with its default.
    pub fn usage(&self, program: &str) -> String {
        let mut defaults = self.defaults();
        let lines: Vec<(String, String)> = self
            .flags
            .iter()
            .filter(|flag| !flag.hidden)
            .map(|flag| flag.usage_line(&mut defaults))
            .collect();
        let width = lines.iter().map(|(flag, _)| flag.len()).max().unwrap_or(0);
        let mut text = format!("Usage:\n  {program} [flags]\n\nFlags:\n");
        for (flag, usage) in lines {
            text.push_str(format!("{flag:width$}   {usage}").trim_end());
            text.push('\n');
        }
        text
    }
}

impl<O> Flag<O> {
    /// The flag with the name of its value, and the sentence about it with its default.
    fn usage_line(&self, defaults: &mut O) -> (String, String) {
        let value = (self.value)(defaults);
        let mut flag = match self.shorthand {
            Some(letter) => format!("  -{letter}, --{}", self.name),
            None => format!("      --{}", self.name),
        };
        let (operand, mut usage) = match self.operand() {
            Some(operand) => (operand, self.usage.replacen('`', "", 2)),
            None => (value.type_name(), self.usage.to_owned()),
        };
        if !operand.is_empty() {
            flag.push(' ');
            flag.push_str(operand);
        }
        if let Some(default) = value.print_default() {
            usage.push_str(&format!(" (default {default})"));
        }
        if let Some(advice) = self.deprecated {
            usage.push_str(&format!(" (DEPRECATED: {advice})"));
        }
        (flag, usage)
    }

    /// The word in backquotes.
    pub(super) fn operand(&self) -> Option<&'static str> {
        let (_, from_word) = self.usage.split_once('`')?;
        let (word, _) = from_word.split_once('`')?;
        Some(word)
    }
}
