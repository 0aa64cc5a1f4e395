//! The text format of Prometheus, version 0.0.4, as Go's client writes it.
//!
//! The encoder of the `prometheus` crate writes numbers in Rust's way, and a bucket named `0.000001` is not
//! the series `1e-06` that dashboards know.

use std::fmt::{self, Write as _};

use prometheus::Registry;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::process;

/// The `Content-Type` of what [`render`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// All families of `registry` and those of the process, in the order of their names; only the named ones if
/// `names` has any (`?name[]=`).
#[must_use]
pub fn render<S: AsRef<str>>(registry: &Registry, names: &[S]) -> String {
    let mut families = registry.gather();
    families.extend(process::families());
    families.sort_by(|one, other| one.name().cmp(other.name()));
    let wanted = |family: &MetricFamily| {
        names.is_empty() || names.iter().any(|name| name.as_ref() == family.name())
    };
    let mut text = String::with_capacity(8 * 1024);
    for family in families.iter().filter(|family| wanted(family)) {
        write_family(&mut text, family).expect("a String takes all that is written to it");
    }
    text
}

fn write_family(text: &mut String, family: &MetricFamily) -> fmt::Result {
    let name = family.name();
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        // Nobody here makes others.
        MetricType::SUMMARY | MetricType::UNTYPED => return Ok(()),
    };
    let help = family.help().replace('\\', "\\\\").replace('\n', "\\n");
    writeln!(text, "# HELP {name} {help}")?;
    writeln!(text, "# TYPE {name} {kind}")?;
    for metric in family.get_metric() {
        match family.get_field_type() {
            MetricType::COUNTER => {
                write_sample(
                    text,
                    name,
                    metric.get_label(),
                    None,
                    metric.get_counter().get_value(),
                )?;
            }
            MetricType::GAUGE => {
                write_sample(
                    text,
                    name,
                    metric.get_label(),
                    None,
                    metric.get_gauge().get_value(),
                )?;
            }
            MetricType::HISTOGRAM => write_histogram(text, name, metric)?,
            MetricType::SUMMARY | MetricType::UNTYPED => {}
        }
    }
    Ok(())
}

fn write_histogram(text: &mut String, name: &str, metric: &Metric) -> fmt::Result {
    let histogram = metric.get_histogram();
    let labels = metric.get_label();
    let bucket = format!("{name}_bucket");
    let count = count(histogram.get_sample_count());
    for entry in histogram.get_bucket() {
        let bound = Some(entry.upper_bound());
        let below = self::count(entry.cumulative_count());
        write_sample(text, &bucket, labels, bound, below)?;
    }
    write_sample(text, &bucket, labels, Some(f64::INFINITY), count)?;
    let sum = histogram.get_sample_sum();
    write_sample(text, &format!("{name}_sum"), labels, None, sum)?;
    write_sample(text, &format!("{name}_count"), labels, None, count)
}

/// `le` is the upper bound of a bucket.
fn write_sample(
    text: &mut String,
    name: &str,
    labels: &[LabelPair],
    le: Option<f64>,
    value: f64,
) -> fmt::Result {
    text.push_str(name);
    let mut before = '{';
    for label in labels {
        let value = escape_label(label.value());
        write!(text, "{before}{}=\"{value}\"", label.name())?;
        before = ',';
    }
    if let Some(le) = le {
        write!(text, "{before}le=\"{}\"", number(le))?;
        before = ',';
    }
    if before == ',' {
        text.push('}');
    }
    writeln!(text, " {}", number(value))
}

fn escape_label(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('"', "\\\"")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "samples are floating point numbers in this format"
)]
const fn count(count: u64) -> f64 {
    count as f64
}

/// Go's `strconv.FormatFloat(value, 'g', -1, 64)`: the shortest digits, with an exponent below 1e-4 and from
/// 1e+06 on.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific
        .split_once('e')
        .expect("Rust's scientific notation has an exponent");
    let exponent: i32 = exponent
        .parse()
        .expect("Rust's scientific notation has a whole exponent");
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts};

    use super::*;

    #[test]
    fn numbers_read_as_in_go() {
        // Written by Go 1.26, strconv.FormatFloat(f, 'g', -1, 64).
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (0.1, "0.1"),
            (1e-6, "1e-06"),
            (-1e-5, "-1e-05"),
            (1e-4, "0.0001"),
            (1.2345e-4, "0.00012345"),
            (12.5, "12.5"),
            (86_400.0, "86400"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (1_000_000.5, "1.0000005e+06"),
            (1_234_567.0, "1.234567e+06"),
            (1_732_339_410.17, "1.73233941017e+09"),
            (18_446_744_073_709_551_615.0, "1.8446744073709552e+19"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    fn registry() -> Registry {
        let registry = Registry::new();
        let opts = Opts::new("b_total", "Help with a \\ and a\nline.");
        let counter = IntCounterVec::new(opts, &["path", "code"]).unwrap();
        counter.with_label_values(&["a\"b\\c\nd", "1"]).inc_by(7);
        let opts = HistogramOpts::new("a_seconds", "Time.").buckets(vec![1e-6, 2.5]);
        let histogram = Histogram::with_opts(opts).unwrap();
        histogram.observe(0.5);
        histogram.observe(4.0);
        registry.register(Box::new(counter)).unwrap();
        registry.register(Box::new(histogram)).unwrap();
        registry
    }

    #[test]
    fn families_are_written_in_the_text_format() {
        let text = render(&registry(), &["b_total", "a_seconds"]);
        assert_eq!(
            text,
            r#"# HELP a_seconds Time.
# TYPE a_seconds histogram
a_seconds_bucket{le="1e-06"} 0
a_seconds_bucket{le="2.5"} 1
a_seconds_bucket{le="+Inf"} 2
a_seconds_sum 4.5
a_seconds_count 2
# HELP b_total Help with a \\ and a\nline.
# TYPE b_total counter
b_total{code="1",path="a\"b\\c\nd"} 7
"#
        );
    }

    #[test]
    fn a_filter_leaves_the_families_it_names() {
        assert_eq!(render(&registry(), &["nothing"]), "");
        let text = render(&registry(), &["a_seconds"]);
        assert!(text.contains("a_seconds") && !text.contains("b_total"));
        let all = render::<&str>(&registry(), &[]);
        assert!(all.contains("b_total") && all.contains("process_open_fds"));
    }
}
