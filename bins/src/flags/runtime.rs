//! `--runtime`, which is ours.

use super::quote::quote;
use super::value::{Value, ValueError};

/// What a daemon's connections run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuntimeName {
    /// tokio, its threads as many as there are cores.
    #[default]
    Tokio,
    /// smol, likewise. Signals, and what else only exists on tokio, stay there, on the main thread.
    #[cfg(feature = "smol")]
    Smol,
}

impl RuntimeName {
    /// Whether requests to the Kubernetes API can be made.
    pub(super) const fn asks_kubernetes(self) -> bool {
        matches!(self, Self::Tokio)
    }
}

impl Value for RuntimeName {
    fn set(&mut self, text: &str, _again: bool) -> Result<(), ValueError> {
        *self = match text {
            "tokio" => Self::Tokio,
            #[cfg(feature = "smol")]
            "smol" => Self::Smol,
            #[cfg(not(feature = "smol"))]
            "smol" => return Err(ValueError::NoSmol),
            _ => return Err(ValueError::Runtime),
        };
        Ok(())
    }

    fn print(&self) -> String {
        match self {
            Self::Tokio => "tokio",
            #[cfg(feature = "smol")]
            Self::Smol => "smol",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_have_names() {
        let mut name = RuntimeName::default();
        assert_eq!(name.print(), "tokio");
        #[cfg(feature = "smol")]
        {
            assert_eq!(name.set("smol", false), Ok(()));
            assert_eq!(name, RuntimeName::Smol);
            assert_eq!(name.print(), "smol");
        }
        #[cfg(not(feature = "smol"))]
        assert_eq!(name.set("smol", false), Err(ValueError::NoSmol));
        assert_eq!(name.set("tokio", true), Ok(()));
        assert_eq!(name, RuntimeName::Tokio);
        assert_eq!(name.set("Smol", true), Err(ValueError::Runtime));
    }
}
