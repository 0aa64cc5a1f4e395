//! How an agent is found for a destination: the strategies and the table that each looks into.

mod agent_pool;
mod backends;
mod destinations;
mod networks;
mod selector;

use std::fmt;
use std::str::FromStr;

pub(super) use agent_pool::AgentPool;
pub(super) use backends::Backends;
pub use backends::LinkState;
pub(super) use destinations::Destinations;
pub(crate) use destinations::without_port;
pub(super) use networks::Networks;
pub use selector::{Selector, SelectorError};

/// One way to find an agent for a dial: the first three are the reference's (Konnectivity server,
/// `pkg/server/backend_manager.go`), the others ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// Any agent, at random.
    Default,
    /// An agent with an identifier equal to the destination's host.
    DestHost,
    /// Any agent that claims the default route, at random.
    DefaultRoute,
    /// An agent with a network among its identifiers that the destination's address is in; the smallest such network.
    DestCidr,
    /// An agent with the labels that the frontend asks for; none where it asks for none.
    Label,
    /// The less loaded of two agents drawn at random. Where it is among a server's strategies, every other one of them
    /// chooses so among the agents that it finds, too.
    LeastLoaded,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 6] = [
        Self::Default,
        Self::DestHost,
        Self::DefaultRoute,
        Self::DestCidr,
        Self::Label,
        Self::LeastLoaded,
    ];

    /// The name in `--proxy-strategies` and in the label `proxy_strategy`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::DestHost => "destHost",
            Self::DefaultRoute => "defaultRoute",
            Self::DestCidr => "destCIDR",
            Self::Label => "label",
            Self::LeastLoaded => "leastLoaded",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The strategies of a server in the order in which they are tried; at least one.
///
/// As text a comma list, where empty items are skipped, repeated ones kept, and blanks belong to the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategies(Vec<Strategy>);

/// Why `--proxy-strategies` is refused, in the reference's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategiesError {
    /// The option is empty.
    #[error("ProxyStrategies cannot be empty")]
    Unset,
    /// The option holds only commas.
    #[error("invalid proxy strategies: proxy strategies cannot be empty")]
    Empty,
    /// There is no strategy of this name.
    #[error("invalid proxy strategies: unknown proxy strategy: {0}")]
    Unknown(String),
}

impl Strategies {
    /// In the order in which they are tried; a strategy may stand here twice.
    pub fn iter(&self) -> impl Iterator<Item = Strategy> {
        self.0.iter().copied()
    }

    /// True when `strategy` is among them.
    #[must_use]
    pub fn contains(&self, strategy: Strategy) -> bool {
        self.0.contains(&strategy)
    }
}

/// The reference's default: `default` alone.
impl Default for Strategies {
    fn default() -> Self {
        Self(vec![Strategy::Default])
    }
}

impl FromStr for Strategies {
    type Err = StrategiesError;

    fn from_str(option: &str) -> Result<Self, StrategiesError> {
        if option.is_empty() {
            return Err(StrategiesError::Unset);
        }
        let strategies = option
            .split(',')
            .filter(|name| !name.is_empty())
            .map(|name| {
                Strategy::ALL
                    .into_iter()
                    .find(|strategy| strategy.name() == name)
                    .ok_or_else(|| StrategiesError::Unknown(name.to_owned()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if strategies.is_empty() {
            return Err(StrategiesError::Empty);
        }
        Ok(Self(strategies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_a_comma_list_in_order() {
        let parsed = |option: &str| option.parse::<Strategies>().map(|list| list.0);
        assert_eq!(parsed("default"), Ok(vec![Strategy::Default]));
        assert_eq!(
            parsed(",destHost,,defaultRoute,default,destHost,"),
            Ok(vec![
                Strategy::DestHost,
                Strategy::DefaultRoute,
                Strategy::Default,
                Strategy::DestHost
            ])
        );
    }

    #[test]
    fn faults_are_told_in_the_reference_words() {
        let error = |option: &str| {
            option
                .parse::<Strategies>()
                .expect_err("a faulty option")
                .to_string()
        };
        assert_eq!(error(""), "ProxyStrategies cannot be empty");
        assert_eq!(
            error(",,"),
            "invalid proxy strategies: proxy strategies cannot be empty"
        );
        assert_eq!(
            error("default, destHost"),
            "invalid proxy strategies: unknown proxy strategy:  destHost"
        );
        assert_eq!(
            error("desthost"),
            "invalid proxy strategies: unknown proxy strategy: desthost"
        );
    }
}
