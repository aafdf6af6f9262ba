//! Why a command did not do what it was asked to, and the exit code that says so.

use std::error::Error;
use std::io;

use tower_keep::{AdminError, Cause, ConfigError, ConfigErrors, IssueError, Outage, Rejection, StoreError};

/// The numbers are part of the interface; scripts rely on them.
pub(crate) enum Failure {
    /// 1: the key or token is not good, or is not there. There may be nothing more to say.
    No(Option<String>),
    /// 2: the arguments make no sense.
    Usage(String),
    /// 3: the store or the issuer is out of reach.
    Unreachable(String),
    /// 4: something is configured wrongly, the input is wrong, or the operation was refused.
    Refused(String),
    /// 130: by Ctrl-C.
    Interrupted,
    /// 0: whoever reads the output wants no more of it.
    Closed,
}

impl Failure {
    pub(crate) fn no(text: impl Into<String>) -> Self {
        Self::No(Some(text.into()))
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }

    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::No(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Refused(_) => 4,
            Self::Interrupted => 130,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::No(text) => text.as_deref(),
            Self::Usage(text) | Self::Unreachable(text) | Self::Refused(text) => Some(text),
            Self::Interrupted => Some("interrupted"),
            Self::Closed => None,
        }
    }

    /// What came of writing to standard output.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::refused(format!("standard output cannot be written: {error}")),
        }
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        let text = with_causes(&error);
        match error {
            AdminError::Store(error) => error.into(),
            AdminError::NotFound | AdminError::AlreadyExists | AdminError::Ended => Self::no(text),
            _ => Self::Refused(text),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let text = with_causes(&error);
        match error {
            StoreError::Unavailable { .. } => Self::Unreachable(text),
            _ => Self::Refused(text),
        }
    }
}

/// For verdicts other than that a credential is bad.
impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        let text = with_causes(&rejection);
        match rejection.cause() {
            Cause::Unavailable => Self::Unreachable(text),
            Cause::Misconfigured => Self::Refused(text),
            _ => Self::No(Some(text)),
        }
    }
}

impl From<Outage> for Failure {
    fn from(outage: Outage) -> Self {
        Self::Unreachable(with_causes(&outage))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Refused(errors.to_string())
    }
}

impl From<IssueError> for Failure {
    fn from(error: IssueError) -> Self {
        Self::Refused(with_causes(&error))
    }
}

/// Writes an error with its causes, leaving out those whose text is in what stands before.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}
