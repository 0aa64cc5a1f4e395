//! Where in the source code a log line comes from.

use tracing::Metadata;

/// The source file of an event, as log lines and `--vmodule` know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source<'a> {
    path: &'a str,
    pub(super) line: u32,
}

impl<'a> Source<'a> {
    pub(super) fn of(metadata: &'a Metadata<'_>) -> Self {
        Self::at(
            metadata.file().unwrap_or("unknown"),
            metadata.line().unwrap_or(0),
        )
    }

    pub(super) fn at(path: &'a str, line: u32) -> Self {
        Self { path, line }
    }

    /// The file's name without directory.
    pub(super) fn file(self) -> &'a str {
        self.last(1)
    }

    /// The file as a log line shows it. A `mod.rs` says nothing without its directory, so that comes along.
    pub(super) fn shown(self, with_directory: bool) -> &'a str {
        let with_directory = with_directory || self.file() == "mod.rs";
        self.last(if with_directory { 2 } else { 1 })
    }

    /// The name that patterns match: the file's without `.rs`, or a module's for its `mod.rs`.
    pub(super) fn module(self) -> &'a str {
        match self.file() {
            "mod.rs" => self.last(2).strip_suffix("/mod.rs").unwrap_or("mod"),
            file => file.strip_suffix(".rs").unwrap_or(file),
        }
    }

    /// The last `count` parts of the path.
    fn last(self, count: usize) -> &'a str {
        let start = self
            .path
            .rmatch_indices('/')
            .nth(count - 1)
            .map_or(0, |(slash, _)| slash + 1);
        &self.path[start..]
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn a_file_goes_by_its_name() {
        let source = Source::at("bins/src/proxy_server.rs", 7);
        assert_eq!(source.shown(false), "proxy_server.rs");
        assert_eq!(source.shown(true), "src/proxy_server.rs");
        assert_eq!(source.module(), "proxy_server");
    }

    #[test]
    fn a_module_goes_by_its_directory() {
        let source = Source::at("core/src/server/link/mod.rs", 7);
        assert_eq!(source.shown(false), "link/mod.rs");
        assert_eq!(source.file(), "mod.rs");
        assert_eq!(source.module(), "link");
    }

    #[test]
    fn a_file_without_directory_is_whole() {
        let source = Source::at("build.rs", 7);
        assert_eq!(source.shown(true), "build.rs");
        assert_eq!(source.module(), "build");
        assert_eq!(Source::at("mod.rs", 7).module(), "mod");
    }
}
