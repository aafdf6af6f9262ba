//! An answer that is here now, or that comes later.
//!
//! Schemes, stores and verifiers mostly know at once: a key in memory, a token in a cache, a field that is missing.
//! [`Answer`] lets them say so without a future, a box or a poll, and still wait where they must. It is the only
//! asynchronous vocabulary of this crate and needs no runtime.
//!
//! ```
//! use tower_keep::Answer;
//!
//! fn port(name: &str) -> Answer<Option<u16>> {
//!     match name {
//!         "https" => Answer::Now(Some(443)),
//!         _ => Answer::later(async { None }), // a look-up over the network
//!     }
//! }
//!
//! let url = port("https").map(|port| port.map(|port| format!("https://localhost:{port}")));
//! assert_eq!(url.now(), Some(Some("https://localhost:443".to_owned())));
//! ```

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A boxed future that owns all it needs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// A value that is known now, or a future that will know it.
#[must_use = "an answer that comes later does nothing unless awaited"]
pub enum Answer<T> {
    /// The value is known; nothing was allocated and nothing has to be polled.
    Now(T),
    /// The value has to be waited for.
    Later(BoxFuture<T>),
}

impl<T> Answer<T> {
    /// Boxes a future as an answer that comes later.
    pub fn later(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }

    /// Returns the value if it is known already.
    pub fn now(self) -> Option<T> {
        match self {
            Self::Now(value) => Some(value),
            Self::Later(_) => None,
        }
    }

    /// Changes the value; an answer that is known stays known.
    pub fn map<U>(self, change: impl FnOnce(T) -> U + Send + 'static) -> Answer<U>
    where
        T: 'static,
    {
        match self {
            Self::Now(value) => Answer::Now(change(value)),
            Self::Later(future) => Answer::later(async move { change(future.await) }),
        }
    }

    /// Asks a second question with the first answer; two answers that are known make one that is known.
    pub fn then<U>(self, next: impl FnOnce(T) -> Answer<U> + Send + 'static) -> Answer<U>
    where
        T: 'static,
        U: Send + 'static,
    {
        match self {
            Self::Now(value) => next(value),
            Self::Later(future) => Answer::later(async move { next(future.await).await }),
        }
    }
}

impl<T> From<T> for Answer<T> {
    fn from(value: T) -> Self {
        Self::Now(value)
    }
}

impl<T> fmt::Debug for Answer<T> {
    // The value may be a credential or a verdict: only whether it is known is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "Now(..)",
            Self::Later(_) => "Later(..)",
        })
    }
}

impl<T> IntoFuture for Answer<T> {
    type Output = T;
    type IntoFuture = AnswerFuture<T>;

    fn into_future(self) -> AnswerFuture<T> {
        AnswerFuture(match self {
            Self::Now(value) => State::Now(Some(value)),
            Self::Later(future) => State::Later(future),
        })
    }
}

/// The future of an [`Answer`].
pub struct AnswerFuture<T>(State<T>);

enum State<T> {
    Now(Option<T>),
    Later(BoxFuture<T>),
}

// The value is only ever moved out, never pinned.
impl<T> Unpin for AnswerFuture<T> {}

impl<T> Future for AnswerFuture<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            // Polled again after it was ready: there is nothing left to give.
            State::Now(value) => value.take().map_or(Poll::Pending, Poll::Ready),
            State::Later(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> fmt::Debug for AnswerFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerFuture(..)")
    }
}
