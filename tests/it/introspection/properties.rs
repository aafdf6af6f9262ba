//! What holds of any answer.

use http::StatusCode;
use proptest::prelude::*;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower_keep::Cause;

use super::{Reply, Server, TOKEN, good, verdict};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// A good answer with a few of its bytes changed, taken away or added.
fn nearly_good() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), prop::option::of(any::<u8>()), any::<bool>());
    prop::collection::vec(change, 1..4).prop_map(|changes| {
        let mut text = good().to_string().into_bytes();
        for (place, byte, replaces) in changes {
            let place = place.index(text.len());
            match byte {
                None => drop(text.remove(place)),
                Some(byte) if replaces => text[place] = byte,
                Some(byte) => text.insert(place, byte),
            }
        }
        text
    })
}

proptest! {
    #[test]
    fn only_an_object_that_says_true_lets_anybody_in(
        answer in prop_oneof![nearly_good(), any::<Vec<u8>>(), any::<String>().prop_map(String::into_bytes)]
    ) {
        let text = String::from_utf8_lossy(&answer).into_owned();
        let server = Server::new(Reply::Answer(StatusCode::OK, text.clone()));
        let tokens = server.asker().build().unwrap();

        match runtime().block_on(verdict(&tokens, TOKEN)) {
            Ok(principal) => {
                let said: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&said["active"], &Value::Bool(true));
                prop_assert_eq!(&said["sub"], principal.subject());
                prop_assert_eq!(&said["aud"], &good()["aud"]);
            }
            Err(rejection) => prop_assert!(matches!(rejection.cause(), Cause::Invalid | Cause::Unavailable)),
        }
    }

    #[test]
    fn any_token_reaches_the_server_as_it_is(token in "[A-Za-z0-9._~+/-]{1,300}={0,2}") {
        let server = Server::content();
        let tokens = server.asker().build().unwrap();

        prop_assert!(runtime().block_on(verdict(&tokens, &token)).is_ok());

        let (_, body) = server.last_question();
        let sent = body.strip_prefix("token=").unwrap().strip_suffix("&token_type_hint=access_token").unwrap();
        prop_assert_eq!(percent_decoded(sent), token);
    }
}

fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap().to_owned();
    for part in parts {
        decoded.push(char::from(u8::from_str_radix(&part[..2], 16).unwrap()));
        decoded.push_str(&part[2..]);
    }
    decoded
}
