//! `dialback policy check`: what a policy says of a dial, and why.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use dialback_core::policy::{Agent, Denied, Destination, Dial, Mode, Policy};
use dialback_core::wire::AgentMetadata;
use dialback_core::{Identity, ServiceAccount, UnixCredentials};
use serde_json::{Value, json};

use crate::reload::read_rules;

/// It is denied.
const EXIT_DENIED: u8 = 1;
/// The file or the command line makes no sense.
const EXIT_UNUSABLE: u8 = 2;

const EXIT_CODES: &str = "\
Exit codes: 0 allowed (also what mode audit lets pass), 1 denied, 2 the file or the command line makes no sense";

/// What `dialback policy` takes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Read a policy file and say what it decides about a dial, by which rule
    ///
    /// Nothing is connected to. Without --agent it is said whether any agent could be allowed to serve the dial.
    #[command(after_help = EXIT_CODES)]
    Check(Check),
}

#[derive(Clone, Debug, clap::Args)]
struct Check {
    /// The policy file
    file: PathBuf,

    /// What the frontend has proved to be: commonName, organization, dnsName, spiffe, serviceAccount (NAMESPACE:NAME) or uid
    #[arg(long, value_name = "NAME=VALUE", value_parser = fact)]
    frontend: Vec<Fact>,

    /// Where it wants to go
    #[arg(long, value_name = "HOST:PORT")]
    to: String,

    /// What an agent that could serve it has proved to be, as for --frontend, and what it says: agentID, label (zone:a)
    #[arg(long, value_name = "NAME=VALUE", value_parser = fact)]
    agent: Vec<Fact>,

    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// Something that is known of a peer.
#[derive(Clone, Debug)]
enum Fact {
    CommonName(String),
    Organization(String),
    DnsName(String),
    Uri(String),
    ServiceAccount(ServiceAccount),
    Uid(u32),
    AgentId(String),
    Label(String),
}

fn fact(text: &str) -> Result<Fact, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("is to be NAME=VALUE, such as organization=operators")?;
    let owned = || value.to_owned();
    match name {
        "commonName" => Ok(Fact::CommonName(owned())),
        "organization" => Ok(Fact::Organization(owned())),
        "dnsName" => Ok(Fact::DnsName(owned())),
        "spiffe" => Ok(Fact::Uri(owned())),
        "agentID" => Ok(Fact::AgentId(owned())),
        "label" => Ok(Fact::Label(owned())),
        "uid" => {
            let uid = value.parse();
            uid.map(Fact::Uid)
                .map_err(|_| format!("{value:?} is no user id"))
        }
        "serviceAccount" => match value.split_once(':') {
            Some((namespace, name)) => Ok(Fact::ServiceAccount(ServiceAccount {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })),
            None => Err(format!("{value:?} is to be NAMESPACE:NAME")),
        },
        other => Err(format!("nothing called {other:?} is known of a peer")),
    }
}

/// What the facts come to.
fn peer(facts: &[Fact]) -> (Identity, AgentMetadata) {
    let (mut identity, mut says) = (Identity::default(), AgentMetadata::default());
    for fact in facts.iter().cloned() {
        match fact {
            Fact::CommonName(name) => identity.common_name = Some(name),
            Fact::Organization(name) => identity.organizations.push(name),
            Fact::DnsName(name) => identity.dns_names.push(name),
            Fact::Uri(uri) => identity.uris.push(uri),
            Fact::ServiceAccount(account) => identity.service_account = Some(account),
            Fact::Uid(user_id) => {
                identity.unix = Some(UnixCredentials {
                    user_id,
                    group_id: user_id,
                    process_id: None,
                });
            }
            Fact::AgentId(id) => says.agent_id = id,
            Fact::Label(label) => says.identifiers.label.push(label),
        }
    }
    (identity, says)
}

/// Checks, and tells on standard output.
pub(super) fn run(options: &Options) -> ExitCode {
    let Command::Check(check) = &options.command;
    let policy = match read_rules::<Policy>(&check.file) {
        Ok(policy) => policy,
        Err(error) => {
            eprintln!("dialback: {error}");
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    let (frontend, _) = peer(&check.frontend);
    let dial = policy.dial(&frontend, &Destination::parse(&check.to));
    let verdict = match judge(&policy, &dial, &check.agent) {
        Ok(verdict) => verdict,
        Err(refused) => Verdict {
            denied: Some(refused),
            rule: None,
        },
    };
    let mut out = io::stdout().lock();
    let written = if check.json {
        writeln!(out, "{}", verdict.json(&policy, &dial))
    } else {
        verdict.write(&policy, &dial, &mut out)
    };
    if let Err(error) = written {
        eprintln!("dialback: {error}");
        return ExitCode::from(EXIT_UNUSABLE);
    }
    if verdict.denied.is_some() && policy.mode() == Mode::Enforce {
        ExitCode::from(EXIT_DENIED)
    } else {
        ExitCode::SUCCESS
    }
}

struct Verdict {
    /// Why it is denied, if it is.
    denied: Option<String>,
    /// The rule that says so.
    rule: Option<String>,
}

/// `Err` for an agent that would be refused itself.
fn judge(policy: &Policy, dial: &Dial<'_>, agent: &[Fact]) -> Result<Verdict, String> {
    let denied = if agent.is_empty() {
        dial.refusal()
    } else {
        let (identity, says) = peer(agent);
        let admitted = policy.admit(&identity, &says);
        let admitted = admitted.map_err(|refused| format!("the agent is refused: {refused}"))?;
        let judged = dial.judge(Agent {
            identity: &identity,
            claimed: &admitted.metadata,
            tenant: policy.tenant_of_agent(&identity),
        });
        judged.err()
    };
    let rule = match &denied {
        Some(Denied::Rule(name) | Denied::Route(name)) => Some((*name).to_owned()),
        Some(Denied::Default | Denied::Tenant | Denied::Claims) | None => None,
    };
    Ok(Verdict {
        denied: denied.map(|denied| denied.to_string()),
        rule,
    })
}

impl Verdict {
    fn decision(&self) -> &'static str {
        if self.denied.is_some() {
            "deny"
        } else {
            "allow"
        }
    }

    fn write(&self, policy: &Policy, dial: &Dial<'_>, out: &mut impl Write) -> io::Result<()> {
        match &self.denied {
            Some(why) => writeln!(out, "denied: {why}")?,
            None => writeln!(out, "allowed")?,
        }
        if policy.mode() == Mode::Audit {
            writeln!(out, "mode audit: nothing is enforced")?;
        }
        let tenant = dial.tenant().and_then(|tenant| policy.tenant_name(tenant));
        writeln!(out, "tenant of the frontend: {}", tenant.unwrap_or("none"))?;
        writeln!(
            out,
            "rules that are for the dial, the first for an agent decides:"
        )?;
        let mut decided = false;
        for (name, action, of_agents) in dial.rules() {
            let of = if of_agents {
                "for some agents"
            } else {
                "for every agent"
            };
            writeln!(out, "  {name:?}: {action}, {of}")?;
            decided |= !of_agents;
        }
        if !decided {
            writeln!(out, "  the default")?;
        }
        Ok(())
    }

    fn json(&self, policy: &Policy, dial: &Dial<'_>) -> Value {
        let rules: Vec<_> = dial
            .rules()
            .map(|(name, action, of_agents)| json!({"name": name, "action": action, "everyAgent": !of_agents}))
            .collect();
        json!({
            "decision": self.decision(),
            "enforced": policy.mode() == Mode::Enforce,
            "reason": self.denied,
            "rule": self.rule,
            "tenant": dial.tenant().and_then(|tenant| policy.tenant_name(tenant)),
            "rules": rules,
        })
    }
}
