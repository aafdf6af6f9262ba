//! What every deny list has to do.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::TestClock;
use crate::{Clock, Denial, DenyAdmin, TokenFacts};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Checks that a deny list keeps the promises of [`DenyList`](crate::DenyList) and [`DenyAdmin`], those of the lists of this crate.
/// `open` makes an empty list that asks the clock that it is given; it is called several times, and the lists must not share
/// anything.
///
/// ```
/// use std::sync::Arc;
/// use tower_keep::{MemoryDenyList, testing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// testing::deny_list_contract(async |clock| Arc::new(MemoryDenyList::with_clock(clock)) as _).await;
/// # }
/// ```
///
/// # Panics
///
/// If the list breaks a promise; the message says which.
pub async fn deny_list_contract<F>(open: F)
where
    F: AsyncFn(TestClock) -> Arc<dyn DenyAdmin>,
{
    let clock = TestClock::at(SystemTime::now());
    let subject = async || Subject { list: open(clock.clone()).await, clock: clock.clone() };

    subject().await.tells_tokens_by_each_of_their_names().await;
    subject().await.denies_all_that_were_made_before_a_time().await;
    subject().await.denies_for_one_issuer().await;
    subject().await.forgets_what_is_over_and_nothing_else().await;
    subject().await.keeps_denials_of_one_name_side_by_side().await;
    subject().await.loses_no_denial_of_many_at_once().await;
}

struct Subject {
    list: Arc<dyn DenyAdmin>,
    clock: TestClock,
}

impl Subject {
    async fn tells_tokens_by_each_of_their_names(&self) {
        let odd = "a:b c\u{e9}\n*";
        let mut other = TokenFacts::new("other");
        (other.jti, other.sid, other.kid) = (Some("j0"), Some("s0"), Some("k0"));
        let token = |change: fn(&mut TokenFacts<'static>)| {
            let mut token = other;
            change(&mut token);
            token
        };
        let cases = [
            (Denial::token("j1"), token(|token| token.jti = Some("j1"))),
            (Denial::subject("alice"), token(|token| token.subject = "alice")),
            (Denial::session("s1"), token(|token| token.sid = Some("s1"))),
            (Denial::key("k1"), token(|token| token.kid = Some("k1"))),
        ];
        for (denial, token) in cases {
            assert!(!self.denies(&token).await, "nothing denies it yet: {token:?}");
            self.deny(denial.clone()).await;
            assert!(self.denies(&token).await, "{denial:?} denies {token:?}");
            assert!(denial.holds_for(&token, self.clock.now()), "as it says itself");
            assert!(!self.denies(&other).await, "{denial:?} denies no other token");
        }

        self.deny(Denial::token(odd)).await;
        assert!(self.denies(&TokenFacts { jti: Some(odd), ..other }).await, "a name may have any characters");
        assert!(!self.denies(&TokenFacts { sid: Some("j1"), ..other }).await, "a session is not a token of that name");
        assert!(!self.denies(&TokenFacts::new("")).await, "nobody is not everybody");
        assert!(!self.denies(&TokenFacts::new("Alice")).await, "names are told apart by case");
    }

    async fn denies_all_that_were_made_before_a_time(&self) {
        let now = self.clock.now();
        let made = |at: SystemTime| TokenFacts { issued_at: Some(at), ..TokenFacts::new("alice") };
        self.deny(Denial::all().issued_before(now)).await;

        assert!(self.denies(&made(now - Duration::from_nanos(1_000))).await, "what was made before is denied");
        assert!(!self.denies(&made(now)).await, "what is made then is not");
        assert!(self.denies(&TokenFacts::new("alice")).await, "what does not say when may be from before");
    }

    async fn denies_for_one_issuer(&self) {
        let of = |issuer| TokenFacts { issuer, ..TokenFacts::new("alice") };
        self.deny(Denial::subject("alice").by_issuer("https://a.example")).await;

        assert!(self.denies(&of(Some("https://a.example"))).await, "the subject of that issuer is denied");
        assert!(!self.denies(&of(Some("https://b.example"))).await, "that of another one is somebody else");
        assert!(!self.denies(&of(None)).await, "so is that of nobody");
    }

    async fn forgets_what_is_over_and_nothing_else(&self) {
        self.deny(Denial::subject("alice").until(self.clock.now() + HOUR)).await;
        self.deny(Denial::subject("bob")).await;

        self.clock.advance(HOUR - SECOND);
        assert!(self.denies(&TokenFacts::new("alice")).await, "a denial holds until its time");
        self.clock.advance(SECOND);
        assert!(!self.denies(&TokenFacts::new("alice")).await, "and no longer");
        assert!(self.denies(&TokenFacts::new("bob")).await, "one without a time is for good");
    }

    async fn keeps_denials_of_one_name_side_by_side(&self) {
        let now = self.clock.now();
        let of = |issuer| TokenFacts { issuer: Some(issuer), issued_at: Some(now), ..TokenFacts::new("alice") };
        self.deny(Denial::subject("alice").by_issuer("a").until(now + 2 * HOUR)).await;
        self.deny(Denial::subject("alice").by_issuer("b").until(now + HOUR)).await;
        self.deny(Denial::subject("alice").by_issuer("a").until(now + HOUR)).await;

        self.clock.advance(HOUR);

        assert!(self.denies(&of("a")).await, "a later denial does not cut an earlier one short");
        assert!(!self.denies(&of("b")).await, "each ends at its own time");
    }

    async fn loses_no_denial_of_many_at_once(&self) {
        let issuers: Vec<_> = (0..10).map(|n| format!("https://{n}.example")).collect();
        let denials: Vec<_> = issuers
            .iter()
            .map(|issuer| {
                let (list, denial) = (Arc::clone(&self.list), Denial::subject("alice").by_issuer(issuer));
                tokio::spawn(async move { list.deny(denial).await })
            })
            .collect();
        for denial in denials {
            assert!(matches!(denial.await, Ok(Ok(()))), "each of ten denials at once is made");
        }

        for issuer in &issuers {
            let token = TokenFacts { issuer: Some(issuer), ..TokenFacts::new("alice") };
            assert!(self.denies(&token).await, "and none of them is lost: {issuer}");
        }
    }

    async fn deny(&self, denial: Denial) {
        if let Err(error) = self.list.deny(denial).await {
            panic!("deny: {error:?}");
        }
    }

    async fn denies(&self, token: &TokenFacts<'_>) -> bool {
        match self.list.denies(token).await {
            Ok(denied) => denied,
            Err(error) => panic!("denies: {error:?}"),
        }
    }
}
