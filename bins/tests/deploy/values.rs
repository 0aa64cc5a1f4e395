//! The values of the chart without Helm: they, their schema, the templates and the table of them say the same.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Map, Value};

use crate::files::{read, root, yaml};

fn values() -> Value {
    yaml(&read("helm/dialback/values.yaml"))
}

fn schema() -> Value {
    serde_json::from_str(&read("helm/dialback/values.schema.json")).unwrap()
}

/// The schema that a part of the schema stands for.
fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    match part.get("$ref") {
        Some(reference) => {
            let name = reference.as_str().unwrap().strip_prefix("#/definitions/");
            &schema["definitions"][name.unwrap()]
        }
        None => part,
    }
}

/// The fields of an object whose fields are all known; `None` for a value that an operator writes as a whole.
fn fields<'a>(schema: &Value, part: &'a Value) -> Option<&'a Map<String, Value>> {
    let fields = part.get("properties")?.as_object().unwrap();
    assert_eq!(part["additionalProperties"], false, "{part:#}");
    // A probe's times are of Kubernetes: each has a default there.
    (part != &schema["definitions"]["probe"]).then_some(fields)
}

/// Calls `check` for each value with its path and schema, sections included.
fn walk(
    schema: &Value,
    part: &Value,
    value: &Value,
    path: &str,
    check: &mut dyn FnMut(&str, &Value, &Value),
) {
    let part = resolved(schema, part);
    if !path.is_empty() {
        check(path, part, value);
    }
    let Some(fields) = fields(schema, part) else {
        return;
    };
    let values = value
        .as_object()
        .unwrap_or_else(|| panic!("{path} is a section"));
    for key in values.keys() {
        assert!(
            fields.contains_key(key),
            "{path}.{key} is not in the schema"
        );
    }
    for (key, part) in fields {
        let path = match path {
            "" => key.clone(),
            _ => format!("{path}.{key}"),
        };
        match values.get(key) {
            Some(value) => walk(schema, part, value, &path, check),
            // Which a chart that depends on this one may give.
            None => assert_eq!(path, "global", "values.yaml does not name it"),
        }
    }
}

#[test]
fn the_schema_knows_every_value_and_refuses_others() {
    let (schema, values) = (schema(), values());
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let mut count = 0;
    walk(&schema, &schema, &values, "", &mut |path, part, value| {
        if let Some(choices) = part.get("enum") {
            assert!(choices.as_array().unwrap().contains(value), "{path}");
        } else if let Some(wanted) = part.get("type") {
            let is = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            assert_eq!(wanted, is, "{path}");
        } else {
            assert!(part.get("oneOf").is_some(), "{path} has no type");
        }
        count += 1;
    });
    assert!(count > 100, "only {count} values were found");
}

/// The last part of a value's name stands in some template: one that none looks at would be a promise.
#[test]
fn templates_look_at_every_value() {
    let folder = root().join("deploy/helm/dialback/templates");
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
        .flat_map(|word| word.split('.').skip(1))
        .collect();
    let (schema, values) = (schema(), values());
    walk(&schema, &schema, &values, "", &mut |path, _, _| {
        let key = path.rsplit('.').next().unwrap();
        assert!(words.contains(&key), "no template looks at {path}");
    });
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = yaml(&read("helm/dialback/Chart.yaml"));
    assert_eq!(chart["apiVersion"], "v2");
    assert_eq!(chart["name"], "dialback");
    assert_eq!(chart["type"], "application");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let version = chart["version"].as_str().unwrap();
    assert_eq!(version.split('.').count(), 3, "{version}");
    assert!(chart["kubeVersion"].as_str().unwrap().starts_with(">="));
}

/// The comments above the keys of values.yaml, by path, in the order of the file.
fn comments() -> Vec<(String, String)> {
    let text = read("helm/dialback/values.yaml");
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        let depth = line.len() - trimmed.len();
        if let Some(words) = trimmed.strip_prefix("# ") {
            comment.push(words);
            continue;
        }
        let comment = std::mem::take(&mut comment).join(" ");
        let Some((key, _)) = trimmed.split_once(':') else {
            continue;
        };
        above.retain(|(of, _)| *of < depth);
        let parents = above.iter().map(|(_, key)| key.as_str());
        let path: Vec<&str> = parents.chain([key]).collect();
        found.push((path.join("."), comment));
        above.push((depth, key.to_owned()));
    }
    found
}

/// The table of values: what values.yaml says of each, and its default.
fn table() -> String {
    let (schema, values) = (schema(), values());
    let mut defaults = BTreeMap::new();
    walk(&schema, &schema, &values, "", &mut |path, part, value| {
        let default = match fields(&schema, part) {
            Some(_) => None,
            None => Some(value.to_string()),
        };
        defaults.insert(path.to_owned(), default);
    });
    let mut table = String::from("| value | default | what it is for |\n| --- | --- | --- |\n");
    for (path, comment) in comments() {
        // Keys below a value that is written as a whole have no line of their own, nor have sections.
        let Some(Some(default)) = defaults.get(&path) else {
            continue;
        };
        assert!(!comment.is_empty(), "values.yaml says nothing of {path}");
        let comment = comment.replace('|', "\\|");
        table.push_str(&format!("| `{path}` | `{default}` | {comment} |\n"));
    }
    table
}

const BEGIN: &str =
    "<!-- Written by `DIALBACK_WRITE_DOCS=1 cargo test -p dialback --test deploy values`. -->\n\n";

#[test]
fn the_page_has_a_table_of_every_value() {
    let path = root().join("docs/helm.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, written) = page.split_once(BEGIN).unwrap();
    let table = table();
    if std::env::var_os("DIALBACK_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}")).unwrap();
        return;
    }
    assert!(
        table == written,
        "docs/helm.md is out of date: write it with DIALBACK_WRITE_DOCS=1 cargo test -p dialback --test deploy values"
    );
}
