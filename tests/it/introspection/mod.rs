//! Tokens that a server is asked about (RFC 7662).

mod answers;
mod asking;
mod discovered;
mod outage;
mod properties;
mod remembered;
mod secrets;
mod settings;
mod signed;
mod socket;
mod told;

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::service_fn;
use tower_keep::{
    ClientAuth, HttpClient, Introspection, IntrospectionBuilder, PresentedToken, Principal, Rejection, TokenVerifier,
};

use crate::support::{START, TestClock};
use crate::tokens::mint::{AUDIENCE, ISSUER};

const ENDPOINT: &str = "https://login.example.com/introspect";
/// A token that says nothing.
const TOKEN: &str = "2YotnFZFEjr1zCsicMWpAA";
const SECRET: &str = "s3cr3t-of-the-client";

/// What the server does with a question.
#[derive(Clone)]
enum Reply {
    Answer(StatusCode, String),
    /// It never answers.
    Silence,
    /// Nobody listens.
    Broken,
    /// The connection breaks while the question is under way.
    Reset,
}

impl Reply {
    fn ok(answer: &Value) -> Self {
        Self::Answer(StatusCode::OK, answer.to_string())
    }

    fn status(status: u16) -> Self {
        Self::Answer(StatusCode::from_u16(status).unwrap(), String::new())
    }
}

/// An authorization server that notes what it is asked. Clones share it.
#[derive(Clone)]
struct Server {
    questions: Arc<Mutex<Vec<(http::request::Parts, String)>>>,
    reply: Arc<Mutex<Reply>>,
    /// How long it takes to answer.
    takes: Duration,
}

impl Server {
    fn new(reply: Reply) -> Self {
        Self { questions: Arc::default(), reply: Arc::new(Mutex::new(reply)), takes: Duration::ZERO }
    }

    /// One that finds every token good.
    fn content() -> Self {
        Self::new(Reply::ok(&good()))
    }

    fn taking(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }

    fn reply_with(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    fn client(&self) -> HttpClient {
        let server = self.clone();
        HttpClient::new(service_fn(move |request| server.clone().serve(request)))
    }

    async fn serve(self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap_or_else(|never: Infallible| match never {}).to_bytes();
        self.questions.lock().unwrap().push((head, String::from_utf8(body.to_vec()).unwrap()));
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        let reply = self.reply.lock().unwrap().clone();
        match reply {
            Reply::Answer(status, text) => {
                Ok(Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap())
            }
            Reply::Silence => std::future::pending().await,
            Reply::Broken => Err(io::ErrorKind::ConnectionRefused.into()),
            Reply::Reset => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    /// How often it was asked.
    fn asked(&self) -> usize {
        self.questions.lock().unwrap().len()
    }

    fn last_question(&self) -> (http::request::Parts, String) {
        self.questions.lock().unwrap().last().unwrap().clone()
    }

    /// Starts a verifier that asks this server, at the time when the tests start.
    fn asker(&self) -> IntrospectionBuilder {
        Introspection::at(ENDPOINT)
            .client(self.client())
            .client_auth(ClientAuth::basic("orders", SECRET.to_owned()))
            .audience(AUDIENCE)
            .clock(TestClock::new())
    }
}

/// A good answer about an access token, which ends an hour after the tests start.
fn good() -> Value {
    json!({
        "active": true,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "client_id": "web",
        "token_type": "Bearer",
        "jti": "t1",
        "iat": START,
        "exp": START + 3600,
        "scope": "orders:read",
    })
}

/// A good answer with some of it changed; a change to null takes a member away.
fn good_with(changes: Value) -> Value {
    let mut answer = good();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => answer.as_object_mut().unwrap().remove(name),
            value => answer.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    answer
}

async fn verdict(tokens: &Introspection, token: &str) -> Result<Principal, Rejection> {
    tokens.verify(&PresentedToken::from_text(token).unwrap()).await
}

/// The reason for the log, or `ok`.
async fn outcome(tokens: &Introspection, token: &str) -> &'static str {
    verdict(tokens, token).await.map_or_else(|rejection| rejection.reason(), |_| "ok")
}
