//! The words for how something is shown.

use clap::ValueEnum;

/// `--show-progress`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShowProgress {
    #[default]
    Auto,
    None,
    Bar,
    Counter,
}

/// `--message-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageFormat {
    #[default]
    Human,
    Json,
    LibtestJson,
    LibtestJsonPlus,
}

impl MessageFormat {
    /// Whether it is libtest's.
    pub(crate) fn is_libtest(self) -> bool {
        match self {
            Self::LibtestJson | Self::LibtestJsonPlus => true,
            Self::Human | Self::Json => false,
        }
    }
}

/// `--message-format` of `list`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    #[default]
    Human,
    Json,
    JsonPretty,
}
