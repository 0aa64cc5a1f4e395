//! Whatever a frontend or a file says.

use quickcheck::quickcheck;

use super::*;

quickcheck! {
    /// Where every address is denied, nothing is left that anybody could dial.
    fn a_denied_network_has_no_other_way_in(text: String, host: u32, port: u16) -> bool {
        let policy = policy("rules: [{name: all, action: deny, to: [{cidr: 0.0.0.0/0}, {cidr: '::/0'}]}]");
        let address = std::net::Ipv4Addr::from(host);
        [
            text.clone(),
            format!("{text}:{port}"),
            format!("[{text}]:{port}"),
            format!("{address}:{port}"),
            format!("[::ffff:{address}]:{port}"),
            format!("[::ffff:{address}%{port}]:{port}"),
            format!("{host}:{port}"),
            format!("{host:#x}:{port}"),
        ]
        .iter()
        .all(|to| refusal(&policy, &Identity::default(), to).is_some())
    }

    /// Where one address is denied, it is in whatever way it is written.
    fn an_address_is_denied_however_it_is_written(host: u32, port: u16) -> bool {
        let address = std::net::Ipv4Addr::from(host);
        let policy = policy(&format!("rules: [{{name: one, action: deny, to: [{{cidr: {address}}}]}}]"));
        let mapped = address.to_ipv6_mapped().segments().map(|part| format!("{part:04X}")).join(":");
        [
            format!("{address}:{port}"),
            format!("{address}."),
            format!("[{mapped}]:{port}"),
            format!("[{mapped}%1]:http"),
            format!("[::ffff:{address}]"),
            format!("::ffff:{address}"),
            format!("{host}:{port}"),
            format!("{host:#x}"),
            format!("0{host:o}:{port}"),
        ]
        .iter()
        .all(|to| refusal(&policy, &Identity::default(), to).is_some())
    }

    fn only_the_names_that_are_allowed_are(text: String) -> bool {
        let policy = policy("default: deny\nrules: [{name: ok, action: allow, to: [{host: '*.ok'}]}]");
        let host = text.split(':').next().unwrap_or_default().trim_end_matches('.');
        host.to_ascii_lowercase().ends_with(".ok") || refusal(&policy, &Identity::default(), &text).is_some()
    }

    fn any_file_is_read_or_refused(text: String) -> bool {
        let _ = Policy::parse(&text);
        let _ = Policy::parse(&format!("{HEAD}rules:\n- {text}"));
        let _ = DestinationRules::parse(&[&text], &[&text]);
        true
    }
}
