use dialback_harness::scenario::*;
#[test]
fn z() {
    let bytes: Vec<u8> = std::env::var("B")
        .unwrap()
        .split(',')
        .map(|b| b.trim().parse().unwrap())
        .collect();
    let rules = match std::env::var("R").unwrap().as_str() {
        "a" => Rules::Any,
        "r" => Rules::AlwaysResumed,
        _ => Rules::ShortOfMemory,
    };
    let s = Scenario::from_bytes(rules, &bytes);
    println!("{:?}", s.setup);
    for o in &s.operations {
        println!("{o:?}");
    }
    s.run();
}
